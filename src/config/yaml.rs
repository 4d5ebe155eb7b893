//! Reading a YAML file into a [`Tree`].
//!
//! The tree is built from the events of the parser inside `serde_yaml` (`serde_yaml::granit_parser`). Its deserializer
//! stops at the first value of the wrong type, resolves scalars to numbers and booleans, and forgets where a key stood;
//! all problems of all files are to be reported at once.
//!
//! What it refuses: tags other than `!!str`, `!!map` and `!!seq`, several documents, keys that are not text, a key given twice,
//! an alias inside its own anchor, nesting deeper than [`DEPTH_MAX`], more than [`VALUES_MAX`] values, counted as often
//! as aliases repeat them.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use serde_yaml::granit_parser::{
    self, ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, StructureStyle, Tag,
};

use super::excerpt::quoted;
use super::hidden;
use super::problem::{At, Finding, Findings, Kind};
use super::stand_in::{self, StandIns};
use super::syntax;
use super::tree::{Node, NodeKind, Shape, Tree, Value};

/// A configuration nests no deeper than this; ours needs eight.
pub(super) const DEPTH_MAX: usize = 64;
/// All files together hold no more values than this, counted as often as aliases repeat them: 50 for each of 100 000 entries.
pub(super) const VALUES_MAX: u32 = 5_000_000;

/// Reads a file. `room` is how many values it may have, and what is left afterwards.
pub(super) fn read<'s>(
    file: u32,
    source: &'s str,
    room: &mut u32,
    findings: &mut Findings,
) -> Tree<'s> {
    let room_before = *room;
    let refused = match Builder::new(file, source, room, findings).read(source) {
        Ok(tree) => return tree,
        Err(refused) => refused,
    };
    // What is found again is the same at the same place, and counts once.
    *room = room_before;
    let mut builder = Builder::new(file, source, room, findings);
    if let Some(with) = StandIns::new(source) {
        builder.stand_ins = Some(&with);
        // With stand-ins the parser has nothing left to refuse in this way, so that there is no second `Err`.
        return builder
            .read(&with.text)
            .unwrap_or_else(|_| Tree::broken(file, source));
    }
    builder.stop(&refused);
    builder.tree
}

/// A container that is being read.
#[derive(Debug)]
struct Open {
    node: u32,
    anchor: usize,
    flow: bool,
    /// Values in it, those that aliases stand for included.
    values: u32,
}

struct Builder<'s, 'f> {
    tree: Tree<'s>,
    /// What stands in for characters that the parser refuses, if there are any.
    stand_ins: Option<&'f StandIns>,
    open: Vec<Open>,
    /// An alias of nothing that is not yet reported.
    unknown_anchor: Option<(At, String)>,
    /// Where each anchor's node is, and how many values it has; none while it is being read.
    anchors: HashMap<usize, (u32, Option<u32>)>,
    room: &'f mut u32,
    findings: &'f mut Findings,
}

/// Why a file is not read further. It is reported already.
struct Stop;

impl<'s, 'f> Builder<'s, 'f> {
    fn new(file: u32, source: &'s str, room: &'f mut u32, findings: &'f mut Findings) -> Self {
        // As much as a dense file needs, so that nodes are not copied about; untouched memory costs nothing.
        let nodes = (source.len() / 8 + 16).min(VALUES_MAX as usize);
        Self {
            tree: Tree::new(file, source, nodes),
            stand_ins: None,
            open: Vec::new(),
            unknown_anchor: None,
            anchors: HashMap::new(),
            room,
            findings,
        }
    }

    /// Reads the text, which is the source or has stand-ins.
    ///
    /// # Errors
    /// The parser's, if stand-ins are needed and there are none.
    fn read(mut self, text: &str) -> Result<Tree<'s>, ScanError> {
        let options = granit_parser::options! { emit_unresolved_aliases: true };
        let mut documents = 0;
        for event in Parser::new_from_str_with_options(text, options) {
            let go_on = match event {
                Ok((Event::DocumentStart(..), span)) => {
                    documents += 1;
                    if documents > 1 {
                        Err(self.second_document(span))
                    } else {
                        Ok(())
                    }
                }
                Ok((event, span)) => self.take(event, span),
                Err(error) if self.stand_ins.is_none() && needs_stand_ins(&error) => {
                    return Err(error);
                }
                Err(error) => Err(self.stop(&error)),
            };
            if let Err(Stop) = go_on {
                self.give_up();
                break;
            }
        }
        Ok(self.tree)
    }

    /// Reports why the parser stopped.
    fn stop(&mut self, error: &ScanError) -> Stop {
        let open_flow = self.open.iter().rfind(|open| open.flow);
        let open_flow = open_flow.map(|open| self.tree.at(self.tree.node(open.node)));
        let Tree { file, source, .. } = self.tree;
        let offset = error.marker().byte_offset().unwrap_or(source.len());
        let offset = self.stand_ins.map_or(offset, |with| with.offset(offset));
        let stop = syntax::Stop {
            file,
            source,
            offset,
            open_flow,
            alias: self.unknown_anchor.take(),
        };
        self.give_up();
        self.findings.add(stop.explain(error));
        Stop
    }

    /// Nothing is made of what was read so far: what it means, and what of it is a secret, is not known.
    fn give_up(&mut self) {
        self.tree.broken = true;
        self.findings.hide_by_key(self.tree.file);
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        if let Some((at, name)) = self.unknown_anchor.take() {
            self.findings
                .add(syntax::unknown_anchor(at, &name, self.tree.source));
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let node = self.push(span, NodeKind::Refused)?;
                self.set_scalar(node, &text, style, tag.as_deref(), span);
                self.name(anchor, node, Some(1));
                Ok(())
            }
            Event::SequenceStart(style, anchor, tag) => {
                let kind = self.container(NodeKind::List, "seq", tag.as_deref(), span);
                self.enter(span, kind, style, anchor)
            }
            Event::MappingStart(style, anchor, tag) => {
                let kind = self.container(NodeKind::Mapping, "map", tag.as_deref(), span);
                self.enter(span, kind, style, anchor)
            }
            Event::SequenceEnd => {
                self.leave(span);
                Ok(())
            }
            Event::MappingEnd => {
                if let Some(mapping) = self.leave(span) {
                    self.check_keys(mapping);
                }
                Ok(())
            }
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::UnresolvedAlias(name) => {
                let node = self.push(span, NodeKind::Refused)?;
                let at = self.tree.at(self.tree.node(node));
                // If the parser stops right after it, that says more.
                self.unknown_anchor = Some((at, name.into_owned()));
                Ok(())
            }
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::DocumentEnd
            | Event::Anchor(..)
            | _ => Ok(()), // marks of the stream and notes about it, which hold no values
        }
    }

    /// Adds a node, and counts it.
    fn push(&mut self, span: Span, kind: NodeKind) -> Result<u32, Stop> {
        let index = self.tree.len();
        let at = self.place(span);
        let node = Node {
            start: at.start,
            end: at.end,
            after: index.saturating_add(1),
            kind,
        };
        self.spend(1, at)?;
        self.tree.push(node);
        Ok(index)
    }

    /// Counts values, in the file and in each container that is open.
    fn spend(&mut self, values: u32, at: At) -> Result<(), Stop> {
        let Some(room) = self.room.checked_sub(values) else {
            let message = format!("the configuration has more than {VALUES_MAX} values");
            let help = "an aliased block counts as often as it is used; if this is no mistake, split the configuration \
                        between several daemons";
            self.findings
                .add(Finding::error(Kind::Limit, at, message).help(help));
            return Err(Stop);
        };
        *self.room = room;
        if let Some(innermost) = self.open.last_mut() {
            innermost.values = innermost.values.saturating_add(values);
        }
        Ok(())
    }

    fn name(&mut self, anchor: usize, node: u32, values: Option<u32>) {
        if anchor != 0 {
            self.anchors.insert(anchor, (node, values));
        }
    }

    fn set_scalar(
        &mut self,
        index: u32,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: Span,
    ) {
        let node = self.tree.node(index);
        let is_text = match tag {
            None => style != ScalarStyle::Plain,
            // `!` alone says the same as `!!str`.
            Some(tag) if tag.is_yaml_core_schema_tag("str") || tag.suffix() == "!" => true,
            Some(tag) => {
                self.refuse_tag(tag, span);
                return;
            }
        };
        let restored;
        let text = match stand_in::find(text) {
            Some(char) if self.stand_ins.is_some() => {
                if !matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted) {
                    self.findings
                        .add(syntax::unprintable(self.tree.at(node), char));
                    return;
                }
                restored = stand_in::restore(text);
                &restored
            }
            _ => text,
        };
        let nothing = node.start == node.end && text == "~";
        let slice = |from: u32, to: u32| self.tree.source.get(from as usize..to as usize);
        let kind = if !is_text && (nothing || matches!(text, "~" | "null" | "Null" | "NULL")) {
            NodeKind::Null
        } else if nothing || slice(node.start, node.end) == Some(text) {
            if is_text {
                NodeKind::Exact
            } else {
                NodeKind::Plain
            }
        } else if slice(node.start + 1, node.end.saturating_sub(1)) == Some(text) {
            NodeKind::Quoted
        } else {
            self.tree.texts.push(text.into());
            NodeKind::Text(u32::try_from(self.tree.texts.len() - 1).unwrap_or(u32::MAX))
        };
        self.tree.change(index, |node| node.kind = kind);
    }

    /// The kind of a container, unless its tag makes it something else.
    fn container(&mut self, kind: NodeKind, core: &str, tag: Option<&Tag>, span: Span) -> NodeKind {
        match tag {
            Some(tag) if !tag.is_yaml_core_schema_tag(core) && tag.suffix() != "!" => {
                self.refuse_tag(tag, span);
                NodeKind::Refused
            }
            _ => kind,
        }
    }

    fn refuse_tag(&mut self, tag: &Tag, span: Span) {
        let at = self.place(span.tag_span().unwrap_or(span));
        // A password that begins with `!` is read as a tag: what is no usual one is not repeated.
        let original = tag.original();
        let is_usual = |char: char| char == '!' || char == '_' || char.is_ascii_lowercase();
        let is_known = original.len() <= 20 && original.chars().all(is_usual);
        if !is_known {
            self.findings.hide(at);
        }
        let message = match is_known {
            true => format!("the tag {} is not supported", quoted(&original)),
            false => "what begins with `!` is a tag, and this one is not supported".to_owned(),
        };
        let help = match tag.suffix().to_ascii_lowercase().as_str() {
            // Other programs read secrets so.
            "env" | "env_var" | "secret" | "file" | "vault" => {
                "a secret of an account or a variable is named so: { env: NAME }, { file: PATH } or { credential: NAME }"
            }
            "include" | "import" => {
                "give all files to --config: together they make one configuration"
            }
            _ => "remove it: what a value is follows from its key; a text may be quoted",
        };
        self.findings
            .add(Finding::error(Kind::Syntax, at, message).help(help));
    }

    fn place(&self, span: Span) -> At {
        let offset = |bytes: Option<usize>| {
            let bytes = bytes.unwrap_or(0);
            let bytes = self.stand_ins.map_or(bytes, |with| with.offset(bytes));
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        let start = offset(span.start.byte_offset());
        At {
            file: self.tree.file,
            start,
            end: offset(span.end.byte_offset()).max(start),
        }
    }

    fn enter(
        &mut self,
        span: Span,
        kind: NodeKind,
        style: StructureStyle,
        anchor: usize,
    ) -> Result<(), Stop> {
        let node = self.push(span, kind)?;
        if self.open.len() >= DEPTH_MAX {
            self.findings
                .add(syntax::too_deep(self.tree.at(self.tree.node(node))));
            return Err(Stop);
        }
        self.name(anchor, node, None);
        self.open.push(Open {
            node,
            anchor,
            flow: style == StructureStyle::Flow,
            values: 1,
        });
        Ok(())
    }

    /// Ends the innermost container, and gives back its node.
    fn leave(&mut self, span: Span) -> Option<u32> {
        let done = self.open.pop()?;
        if let Some(outer) = self.open.last_mut() {
            // The container itself was counted in the outer one when it began.
            outer.values = outer.values.saturating_add(done.values - 1);
        }
        self.name(done.anchor, done.node, Some(done.values));
        let after = self.tree.len();
        // A block ends where its last value does; the parser says: where the next thing begins.
        let end = if done.flow {
            self.place(span).end
        } else {
            self.tree.node(after.saturating_sub(1)).end
        };
        self.tree.change(done.node, |node| {
            node.after = after;
            node.end = end.max(node.start);
        });
        Some(done.node)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Stop> {
        let target = self.anchors.get(&anchor).copied();
        let kind = match target {
            Some((target, Some(_))) => NodeKind::Alias(target),
            Some((_, None)) | None => NodeKind::Refused,
        };
        let node = self.push(span, kind)?;
        let at = self.tree.at(self.tree.node(node));
        match target {
            Some((_, Some(values))) => self.spend(values, at),
            Some((target, None)) => {
                let anchor = self.tree.at(self.tree.node(target));
                let message =
                    "an alias stands inside the block it stands for, which would never end";
                self.findings.add(
                    Finding::error(Kind::Syntax, at, message)
                        .related(anchor, "the block begins here"),
                );
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn second_document(&mut self, span: Span) -> Stop {
        let message = "a file holds one YAML document, and here a second one begins";
        let help = "remove the line, or move what follows to a file of its own";
        let at = self.place(span);
        self.findings
            .add(Finding::error(Kind::Syntax, at, message).help(help));
        Stop
    }

    /// Where the texts of a secret stand, whether one may stand there or not; of a reference such as `{ env: NAME }`,
    /// what cannot be the name of a place.
    fn secrets(&self, value: Value<'_>) -> Vec<At> {
        let at = |value: Value<'_>, secret: &dyn Fn(&str) -> bool| {
            let text = value.text()?;
            (secret(text) && !hidden::is_flag(text)).then(|| value.at())
        };
        let Shape::Mapping(mapping) = value.shape() else {
            return value
                .scalars()
                .filter_map(|scalar| at(scalar, &|_| true))
                .collect();
        };
        let mut secrets = Vec::new();
        for key in self.tree.keys(mapping.node()) {
            let is_reference = self.tree.text(key).is_some_and(hidden::is_reference_key);
            let secret = |text: &str| !(is_reference && hidden::is_place(text));
            let values = self.tree.value(self.tree.node(key).after).scalars();
            secrets.extend(values.filter_map(|scalar| at(scalar, &secret)));
        }
        secrets
    }

    /// Reports keys of a mapping that are no text, or that are given twice.
    fn check_keys(&mut self, mapping: u32) {
        let mut known = Keys::default();
        let mut is_template = false;
        let is_secret_item = self.tree.keys(mapping).any(|key| {
            let value = self.tree.value(self.tree.node(key).after).text();
            (self.tree.text(key).zip(value))
                .is_some_and(|(key, value)| hidden::is_secret_pair(key, value))
        });
        for key in self.tree.keys(mapping) {
            let node = self.tree.node(key);
            let at = self.tree.at(node);
            let refused = matches!(node.kind, NodeKind::Refused);
            let is_secret = |key: &str| {
                let is_text = || self.tree.value(node.after).text().is_some();
                hidden::is_secret_key(key)
                    || ((hidden::is_secret_name(key) || (is_secret_item && key == "value"))
                        && is_text())
            };
            if refused || self.tree.text(key).is_some_and(is_secret) {
                // It is not shown; and nobody knows what a refused key meant.
                let secrets = self.secrets(self.tree.value(node.after));
                secrets.into_iter().for_each(|at| self.findings.hide(at));
            }
            let finding = match self.tree.text(key) {
                None if refused => continue,
                None => {
                    let (finding, template) = syntax::key_is_no_text(at, self.tree.source);
                    is_template |= template;
                    finding
                }
                Some("") if matches!(node.kind, NodeKind::Null | NodeKind::Plain) => {
                    Finding::error(Kind::Syntax, at, "there is no key before the `:`")
                        .help("write `key: value`; quote a text that begins with `:`")
                }
                Some(text) => match known.first(text, key) {
                    Some(first) => syntax::key_twice(at, text, self.tree.at(self.tree.node(first))),
                    None => continue,
                },
            };
            self.findings.add(finding);
        }
        // What it is meant to be is no mapping, so it is not judged as one.
        if is_template {
            self.tree
                .change(mapping, |node| node.kind = NodeKind::Refused);
        }
    }
}

/// The keys of a mapping that were met so far.
#[derive(Debug, Default)]
struct Keys<'t> {
    /// Nearly all mappings are small, and there are half a million of them.
    few: Vec<(&'t str, u32)>,
    many: HashMap<&'t str, u32>,
}

impl<'t> Keys<'t> {
    const FEW_MAX: usize = 32;

    /// The node of the key that was met first with this text; if that is this one, it is kept.
    fn first(&mut self, text: &'t str, key: u32) -> Option<u32> {
        if let Some((_, first)) = self.few.iter().find(|(few, _)| *few == text) {
            return Some(*first);
        }
        if self.few.len() < Self::FEW_MAX {
            self.few.push((text, key));
            return None;
        }
        match self.many.entry(text) {
            Slot::Occupied(first) => Some(*first.get()),
            Slot::Vacant(slot) => {
                slot.insert(key);
                None
            }
        }
    }
}

/// Whether the parser stopped at a character that a quoted text may hold.
fn needs_stand_ins(error: &ScanError) -> bool {
    matches!(error.kind(), ErrorKind::UnexpectedCharacter { character } if stand_in::is_refused(*character))
}
