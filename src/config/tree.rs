//! A YAML file as a tree with places: the text and the place of everything, and nothing resolved.
//!
//! Scalars keep their text, so that `1.10`, `yes` and `012` stay what they are. Aliases stay references: a bomb of them
//! costs nothing until it is looked at. Merge keys (`<<`) are followed when a mapping's keys are asked for. Nothing here
//! recurses over what a file nests.

use std::collections::{HashMap, HashSet};

use super::problem::{At, Finding, Findings, Kind};

/// A mapping that merges one that merges one ... is followed so far.
const MERGES_MAX: usize = 32;

/// A file's tree. Nodes stand in the order of the file, a container before what it holds.
#[derive(Debug)]
pub(super) struct Tree<'s> {
    pub(super) file: u32,
    pub(super) source: &'s str,
    nodes: Vec<Kept>,
    /// Texts that do not stand in the file as they are meant: escapes, folded lines.
    pub(super) texts: Vec<Box<str>>,
    /// Whether the file could not be read to its end.
    pub(super) broken: bool,
}

/// A value of a file, with its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) start: u32,
    pub(super) end: u32,
    /// The index of the first node after this one and all it holds.
    pub(super) after: u32,
    pub(super) kind: NodeKind,
}

/// A node as it is kept, for there are millions.
#[derive(Debug, Clone, Copy)]
struct Kept {
    start: u32,
    end: u32,
    /// Which kind it is, in the upper eight bits, and below them a number: where a container ends, or what a text or an
    /// alias refers to.
    what: u32,
}

/// The bits of the number in [`Kept`], which is less than `yaml::VALUES_MAX`.
const NUMBER_BITS: u32 = 24;
const _: () = assert!(super::yaml::VALUES_MAX < 1 << NUMBER_BITS);

impl Kept {
    fn new(index: u32, node: Node) -> Self {
        let (kind, number) = match node.kind {
            NodeKind::Null => (0, node.after),
            NodeKind::Plain => (1, node.after),
            NodeKind::Exact => (2, node.after),
            NodeKind::Quoted => (3, node.after),
            NodeKind::List => (4, node.after),
            NodeKind::Mapping => (5, node.after),
            NodeKind::Refused => (6, node.after),
            NodeKind::Text(text) => (7, text),
            NodeKind::Alias(target) => (8, target),
        };
        debug_assert!(kind < 7 || node.after == index + 1);
        Self {
            start: node.start,
            end: node.end,
            what: kind << NUMBER_BITS | number & ((1 << NUMBER_BITS) - 1),
        }
    }

    fn node(self, index: u32) -> Node {
        let number = self.what & ((1 << NUMBER_BITS) - 1);
        let next = index.saturating_add(1);
        let (kind, after) = match self.what >> NUMBER_BITS {
            0 => (NodeKind::Null, number),
            1 => (NodeKind::Plain, number),
            2 => (NodeKind::Exact, number),
            3 => (NodeKind::Quoted, number),
            4 => (NodeKind::List, number),
            5 => (NodeKind::Mapping, number),
            7 => (NodeKind::Text(number), next),
            8 => (NodeKind::Alias(number), next),
            _ => (NodeKind::Refused, number),
        };
        Node {
            start: self.start,
            end: self.end,
            after,
            kind,
        }
    }
}

/// What a node is.
#[derive(Debug, Clone, Copy)]
pub(super) enum NodeKind {
    /// Nothing, or the plain text `null` or `~`.
    Null,
    /// A scalar that stands between `start` and `end`, without anything that makes it a text.
    Plain,
    /// A text that stands there.
    Exact,
    /// A text that stands there between quotes.
    Quoted,
    /// A text of `texts`.
    Text(u32),
    List,
    Mapping,
    /// What stands at that node.
    Alias(u32),
    /// Something that is reported already.
    Refused,
}

/// What a value is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape<'t> {
    /// Absent: nothing, `null` or `~`.
    Null,
    /// A text, a number, true or false: whatever is not in the other forms.
    Text(&'t str),
    /// A list.
    List(List<'t>),
    /// A mapping.
    Mapping(Mapping<'t>),
    /// Something that is reported already.
    Refused,
}

/// A value in a tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'t> {
    tree: &'t Tree<'t>,
    /// Where it stands: elsewhere than where it is used, if that is an alias.
    stands: u32,
    /// Texts that are read in place of what stands there.
    over: Option<&'t Overlay>,
}

/// Texts in place of those of some nodes: what a combination of a matrix makes of an entry. Places stay those of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Overlay {
    /// None: it could not be filled in, which is reported.
    pub(super) texts: HashMap<u32, Option<String>>,
}

/// A list in a tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct List<'t>(Value<'t>);

/// A mapping in a tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mapping<'t>(Value<'t>);

/// A key of a mapping and its value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<'t> {
    /// The key's text.
    pub(super) key: &'t str,
    /// Where the key stands.
    pub(super) key_at: At,
    /// The value.
    pub(super) value: Value<'t>,
}

impl<'s> Tree<'s> {
    /// A tree without a value, and with room for so many.
    pub(super) fn new(file: u32, source: &'s str, room: usize) -> Self {
        Self {
            file,
            source,
            nodes: Vec::with_capacity(room),
            texts: Vec::new(),
            broken: false,
        }
    }

    /// The tree of a file that could not be read.
    pub(super) fn broken(file: u32, source: &'s str) -> Self {
        Self {
            broken: true,
            ..Self::new(file, source, 0)
        }
    }

    /// The whole document; none if the file is empty or could not be read.
    pub(super) fn root(&self) -> Option<Value<'_>> {
        (!self.nodes.is_empty() && !self.broken).then(|| self.value(0))
    }

    pub(super) fn value(&self, used: u32) -> Value<'_> {
        let stands = if let NodeKind::Alias(target) = self.node(used).kind {
            target
        } else {
            used
        };
        Value {
            tree: self,
            stands,
            over: None,
        }
    }

    pub(super) fn node(&self, index: u32) -> Node {
        // Indices come from the tree itself; a wrong one must not end the daemon.
        const NOTHING: Node = Node {
            start: 0,
            end: 0,
            after: u32::MAX,
            kind: NodeKind::Refused,
        };
        let kept = self.nodes.get(index as usize);
        kept.map_or(NOTHING, |kept| kept.node(index))
    }

    /// How many nodes there are.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)
    }

    /// Adds a node after all others.
    pub(super) fn push(&mut self, node: Node) {
        self.nodes.push(Kept::new(self.len(), node));
    }

    /// Changes a node.
    pub(super) fn change(&mut self, index: u32, change: impl FnOnce(&mut Node)) {
        if let Some(kept) = self.nodes.get_mut(index as usize) {
            let mut node = kept.node(index);
            change(&mut node);
            *kept = Kept::new(index, node);
        }
    }

    pub(super) fn at(&self, node: Node) -> At {
        At {
            file: self.file,
            start: node.start,
            end: node.end,
        }
    }

    /// The nodes of a mapping's keys.
    pub(super) fn keys(&self, mapping: u32) -> impl Iterator<Item = u32> {
        let end = self.node(mapping).after;
        let mut next = mapping + 1;
        std::iter::from_fn(move || {
            let key = next;
            (key < end).then(|| {
                next = self.node(self.node(key).after).after;
                key
            })
        })
    }

    /// The text of a scalar; an alias is followed.
    pub(super) fn text(&self, index: u32) -> Option<&str> {
        let node = self.node(index);
        let slice = |start: u32, end: u32| self.source.get(start as usize..end as usize);
        match node.kind {
            NodeKind::Null | NodeKind::Plain | NodeKind::Exact => slice(node.start, node.end),
            NodeKind::Quoted => slice(node.start + 1, node.end.saturating_sub(1)),
            NodeKind::Text(text) => self.texts.get(text as usize).map(AsRef::as_ref),
            NodeKind::Alias(target) if target < index => self.text(target),
            NodeKind::Alias(_) => None,
            NodeKind::List | NodeKind::Mapping | NodeKind::Refused => None,
        }
    }
}

impl<'t> Value<'t> {
    /// The same with other texts in it.
    pub(super) fn with(self, over: Option<&'t Overlay>) -> Self {
        Self { over, ..self }
    }

    /// The node that holds it.
    pub(super) fn node(self) -> u32 {
        self.stands
    }

    /// The text that is read in place of what stands in the file.
    fn replaced(self) -> Option<Option<&'t str>> {
        Some(self.over?.texts.get(&self.stands)?.as_deref())
    }

    /// What it is.
    pub(super) fn shape(self) -> Shape<'t> {
        if let Some(text) = self.replaced() {
            return text.map_or(Shape::Refused, Shape::Text);
        }
        match self.tree.node(self.stands).kind {
            NodeKind::Null => Shape::Null,
            NodeKind::Plain | NodeKind::Exact | NodeKind::Quoted | NodeKind::Text(_) => self
                .tree
                .text(self.stands)
                .map_or(Shape::Refused, Shape::Text),
            NodeKind::List => Shape::List(List(self)),
            NodeKind::Mapping => Shape::Mapping(Mapping(self)),
            NodeKind::Alias(_) | NodeKind::Refused => Shape::Refused,
        }
    }

    /// Its text, if it is one.
    pub(super) fn text(self) -> Option<&'t str> {
        if let Shape::Text(text) = self.shape() {
            Some(text)
        } else {
            None
        }
    }

    /// Whether it is absent.
    pub(super) fn is_null(self) -> bool {
        matches!(self.shape(), Shape::Null)
    }

    /// Whether it is a scalar without quotes, as a number, true or false is.
    pub(super) fn is_plain(self) -> bool {
        // What is filled in for `enabled: "{{ matrix.on }}"` may be true or false.
        self.replaced().is_some() || matches!(self.tree.node(self.stands).kind, NodeKind::Plain)
    }

    /// Where it stands.
    pub(super) fn at(self) -> At {
        self.tree.at(self.tree.node(self.stands))
    }

    /// Where the text itself stands, if it stands in the file letter by letter.
    pub(super) fn text_at(self) -> Option<At> {
        if self.replaced().is_some() {
            return None;
        }
        let at = self.at();
        match self.tree.node(self.stands).kind {
            NodeKind::Plain | NodeKind::Exact => Some(at),
            NodeKind::Quoted => Some(At {
                start: at.start + 1,
                end: at.end.saturating_sub(1),
                ..at
            }),
            NodeKind::Null
            | NodeKind::Text(_)
            | NodeKind::List
            | NodeKind::Mapping
            | NodeKind::Alias(_)
            | NodeKind::Refused => None,
        }
    }

    /// All scalars in it, aliases not followed.
    pub(super) fn scalars(self) -> impl Iterator<Item = Value<'t>> {
        let tree = self.tree;
        let end = tree.node(self.stands).after;
        let within = self.stands..end.min(tree.len());
        let scalar = |kind| {
            matches!(
                kind,
                NodeKind::Plain | NodeKind::Exact | NodeKind::Quoted | NodeKind::Text(_)
            )
        };
        within
            .filter(move |&index| scalar(tree.node(index).kind))
            .map(|index| tree.value(index))
    }
}

impl<'t> List<'t> {
    /// What it holds.
    pub(super) fn items(self) -> impl Iterator<Item = Value<'t>> {
        let Value { tree, stands, over } = self.0;
        let mut next = stands + 1;
        std::iter::from_fn(move || {
            let item = next;
            (item < tree.node(stands).after).then(|| {
                next = tree.node(item).after;
                tree.value(item).with(over)
            })
        })
    }
}

impl<'t> Mapping<'t> {
    /// Where it stands.
    pub(super) fn at(self) -> At {
        self.0.at()
    }

    /// Its node.
    pub(super) fn node(self) -> u32 {
        self.0.stands
    }

    /// Its keys and values in the order of the file, then those it merges (`<<`) and does not have itself. What cannot be
    /// merged counts as an error each time, so that whoever asks knows that keys may be missing for that reason.
    pub(super) fn pairs(self, findings: &mut Findings) -> Vec<Pair<'t>> {
        let mut pairs = Vec::new();
        let merges = self.own_pairs(&mut pairs);
        if !merges.is_empty() {
            let mut known: HashSet<&str> = pairs.iter().map(|pair| pair.key).collect();
            for source in merges {
                merge(source, MERGES_MAX, &mut pairs, &mut known, findings);
            }
        }
        pairs
    }

    /// Adds the pairs that stand in it, and gives back the values of its merge keys.
    fn own_pairs(self, pairs: &mut Vec<Pair<'t>>) -> Vec<Value<'t>> {
        let Value { tree, stands, over } = self.0;
        let mut merges = Vec::new();
        for key in tree.keys(stands) {
            let node = tree.node(key);
            let Some(text) = tree.text(key) else {
                continue; // reported when it was read
            };
            if text.is_empty() && matches!(node.kind, NodeKind::Null | NodeKind::Plain) {
                continue; // so is this
            }
            let value = tree.value(node.after).with(over);
            if matches!(node.kind, NodeKind::Plain) && text == "<<" {
                merges.push(value);
            } else {
                pairs.push(Pair {
                    key: text,
                    key_at: tree.at(node),
                    value,
                });
            }
        }
        merges
    }
}

/// Adds what a merge key's value has and `known` has not.
fn merge<'t>(
    source: Value<'t>,
    depth: usize,
    pairs: &mut Vec<Pair<'t>>,
    known: &mut HashSet<&'t str>,
    findings: &mut Findings,
) {
    let Some(deeper) = depth.checked_sub(1) else {
        findings.count_again();
        let message = format!("mappings are merged over more than {MERGES_MAX} steps");
        findings.add(
            Finding::error(Kind::Limit, source.at(), message)
                .help("merge the mapping itself rather than one that merges one that merges one"),
        );
        return;
    };
    match source.shape() {
        Shape::Mapping(mapping) => {
            let mut own = Vec::new();
            let merges = mapping.own_pairs(&mut own);
            for pair in own {
                if known.insert(pair.key) {
                    pairs.push(pair);
                }
            }
            for source in merges {
                merge(source, deeper, pairs, known, findings);
            }
        }
        Shape::List(list) => {
            for item in list.items() {
                merge(item, deeper, pairs, known, findings);
            }
        }
        Shape::Null | Shape::Text(_) => {
            findings.count_again();
            findings.add(
                Finding::error(
                    Kind::Type,
                    source.at(),
                    "`<<` merges mappings, and this is none",
                )
                .help(
                    "write an alias of a mapping, such as `<<: *base`, or a list of such aliases",
                ),
            );
        }
        Shape::Refused => findings.count_again(),
    }
}
