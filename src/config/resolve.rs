//! From the keys of an entry and its defaults to a checked entry: what is missing, and what keys say together.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use super::Account;
use super::calendars::{self, Calendars};
use super::check::{Check, Given, Labels, TEXT_BYTES, listed};
use super::entry::{Cron, Keys, overlap_word, report_pattern};
use super::excerpt::quoted;
use super::notices::doubts;
use super::online;
use super::problem::{At, Finding, Kind};
use super::text;
use crate::domain::calendar::Calendar;
use crate::domain::cron::{BothDays, CronPattern};
use crate::domain::request::{DESCRIPTION_CHARS_MAX, Source, Variable, VariableValue};
use crate::domain::schedule::{Days, MOVED_DAYS_MAX, Schedule, ScheduleError};
use crate::domain::template::{self, Field};
use crate::domain::zone::Zone;
use crate::domain::{
    AccountName, CatchUp, Entry, EntryName, Overlap, Policy, Retry, RunRequest, TickId, Timestamp,
    description_chars_max,
};

/// A suggestion is looked for among so many names.
const SUGGESTED_FROM_MAX: usize = 1_000;
pub(super) const CATCH_UP_DEFAULT: CatchUp = CatchUp::Latest;
pub(super) const CATCH_UP_MAX_DEFAULT: u32 = 100;
/// All entries together take no more memory than this, about.
const TOTAL_BYTES_MAX: usize = 512 * 1024 * 1024;
/// An entry whose ticks may be moved has at most so many in as many days as they are moved: a decision is told of all.
const MOVED_TICKS_MAX: u64 = 64;
pub(super) const DEADLINE_DEFAULT: Duration = Duration::from_secs(6 * 3600);

/// The accounts as far as they could be read.
#[derive(Debug, Default)]
pub(super) struct Accounts<'t> {
    /// Every name that is given, and where; also of an account with a mistake.
    pub(super) names: BTreeMap<&'t str, At>,
    /// The accounts without a mistake.
    pub(super) read: BTreeMap<&'t str, Arc<Account>>,
    /// Whether there may be more: a file could not be read, or `accounts` is misspelt.
    pub(super) incomplete: bool,
    /// Whether it was said that there are none.
    pub(super) said_none: bool,
}

impl Accounts<'_> {
    /// The accounts by name.
    pub(super) fn into_config(self) -> BTreeMap<AccountName, Arc<Account>> {
        self.read
            .into_values()
            .map(|account| (account.name.clone(), account))
            .collect()
    }
}

/// An entry's own keys and what fills them, the nearest first.
#[derive(Debug)]
pub(super) struct Layers<'l, 't> {
    pub(super) name: &'l EntryName,
    /// How the file calls it: what a matrix makes has a name of its own.
    pub(super) title: &'l str,
    pub(super) name_at: At,
    pub(super) layers: [&'l Keys<'t>; 3],
}

/// A key whose value was refused, which is reported already.
struct Refused;

impl<'l, 't> Layers<'l, 't> {
    /// The nearest layer's value of a key.
    pub(super) fn pick<T>(
        &self,
        key: impl Fn(&'l Keys<'t>) -> &'l Option<Given<T>>,
    ) -> Option<&'l Given<T>> {
        self.layers.iter().find_map(|keys| key(keys).as_ref())
    }

    /// Its value, if it is given and good.
    fn value<T>(
        &self,
        key: impl Fn(&'l Keys<'t>) -> &'l Option<Given<T>>,
    ) -> Result<Option<&'l T>, Refused> {
        match self.pick(key) {
            None => Ok(None),
            Some(given) => given.value.as_ref().map(Some).ok_or(Refused),
        }
    }

    /// Its value, which must be given.
    fn needed<T>(
        &self,
        check: &mut Check<'_>,
        key: &str,
        help: &str,
        get: impl Fn(&'l Keys<'t>) -> &'l Option<Given<T>>,
    ) -> Result<&'l T, Refused> {
        let value = self.value(get)?;
        value.ok_or_else(|| {
            let is_known = |keys: &&Keys<'_>| keys.lacks || keys.meant.contains(&key);
            if self.layers.iter().any(is_known) {
                return Refused;
            }
            let name = quoted(self.title);
            let empty = self
                .layers
                .first()
                .and_then(|own| own.empty.iter().find(|(empty, _)| *empty == key));
            let (at, message) = match empty {
                Some((_, at)) => (*at, format!("`{key}` of the entry {name} has no value")),
                None => (self.name_at, format!("the entry {name} has no `{key}`")),
            };
            check.report(Finding::error(Kind::Missing, at, message).help(help));
            Refused
        })
    }

    /// The checked entry; none if something is wrong, which is reported.
    pub(super) fn resolve(
        &self,
        check: &mut Check<'_>,
        accounts: &mut Accounts<'t>,
        calendars: &mut Calendars<'t>,
    ) -> Option<Entry> {
        // Each part is worked out before the first that is wrong ends it, so that all are reported.
        let window = self.window(check);
        let schedule = self.schedule(check);
        let account = self.account(check, accounts);
        let request = self.request(check);
        let spread = self.spread(check);
        let settle = match &account {
            Ok(name) => accounts
                .read
                .get(name.as_str())
                .map(|account| account.settle),
            Err(_) => None,
        };
        let policy = self.policy(check, settle);
        let days = self.days(check, calendars);
        let manner = self.manner(check);
        let alarm = self.value(|keys| &keys.alarm);
        let ping = self.value(|keys| &keys.ping);
        let templates = match (&request, self.zone(check)) {
            (Ok(request), Ok(zone)) => super::template::zones(check, request, zone),
            _ => None,
        };
        let entry = (|| {
            let (not_before, not_after) = window?;
            let (spread, deadline) = spread?;
            let (catch_up, catch_up_max, enabled, labels) = manner?;
            let schedule = match (schedule?, days?) {
                (Some(schedule), mut days) => {
                    let freezes = calendars.freezes(self.name, &labels, schedule.zone());
                    days.freezes = check.same.freezes.shared(freezes);
                    Some(schedule.with_days(days))
                }
                (None, _) => None,
            };
            Ok::<Entry, Refused>(Entry {
                name: self.name.clone(),
                schedule,
                account: account?,
                request: request?,
                templates,
                spread,
                catch_up,
                catch_up_max,
                deadline,
                policy: policy?,
                enabled,
                not_before,
                not_after,
                alarm: alarm?.copied().unwrap_or_default(),
                ping: ping?.cloned(),
                labels,
            })
        })();
        let entry = entry.ok()?;
        super::template::check_entry(check, &entry, |field| self.field_at(field))?;
        self.keep(check, &entry)?;
        if entry.enabled {
            self.check_what_is_left(check, &entry).ok()?;
            self.warn_if_idle(check, &entry);
            if let Some(alarm) = self.pick(|keys| &keys.alarm) {
                doubts::alarm(check, &entry, alarm.at);
            }
            online::compare(check, self, &entry);
            if let Some(Given {
                value: Some(Cron::Patterns(patterns)),
                ..
            }) = self.pick(|keys| &keys.cron)
            {
                let now = check.world.now;
                check.clock.look(&entry, patterns, now);
            }
        }
        Some(entry)
    }

    /// Where a text of the request stands.
    fn field_at(&self, field: &Field) -> At {
        let at = match field {
            Field::Description => self.pick(|keys| &keys.description).map(|given| given.at),
            Field::Variable(name) => {
                let mut layers = self.layers_with_variables();
                let nearest = layers.clone().next();
                let of = |(_, variables): &(At, &Arc<[Variable]>)| {
                    variables.iter().any(|variable| variable.name == *name)
                };
                layers.find(of).or(nearest).map(|(at, _)| at)
            }
            Field::Branch(_) | Field::Tag(_) => {
                self.pick(|keys| &keys.sources).map(|given| given.at)
            }
        };
        at.unwrap_or(self.name_at)
    }

    /// The calendars that the entry keeps to.
    fn days(&self, check: &mut Check<'_>, calendars: &mut Calendars<'t>) -> Result<Days, Refused> {
        let only_on = self.value(|keys| &keys.only_on);
        let skip_on = self.value(|keys| &keys.skip_on);
        let on_excluded = self.value(|keys| &keys.on_excluded);
        let mut find = |names: Result<Option<&'l Vec<(&'t str, At)>>, Refused>| {
            let names = names?.map_or(&[][..], Vec::as_slice);
            Ok::<_, Refused>((names, calendars.find(check, names)))
        };
        let only_on = find(only_on);
        let skip_on = find(skip_on);
        let ((only_on_names, only_on), (skip_on_names, skip_on)) = (only_on?, skip_on?);
        let (only_on, skip_on) = (only_on.ok_or(Refused)?, skip_on.ok_or(Refused)?);
        let alone = |(calendar, _): &(&Arc<Calendar>, _)| calendar.lists_working_days_alone();
        if let Some((calendar, (_, at))) = skip_on.iter().zip(skip_on_names).find(alone) {
            let message = format!(
                "the calendar {} lists working days alone, and `skip_on` is about days off",
                quoted(calendar.name())
            );
            let help = "write `only_on` if the entry is to run on these days, or list them as `holidays` if it is not";
            check.report(Finding::error(Kind::Conflict, *at, message).help(help));
            return Err(Refused);
        }
        let own = self
            .layers
            .first()
            .and_then(|keys| keys.on_excluded.as_ref());
        if let Some(own) = own.filter(|_| only_on_names.is_empty() && skip_on_names.is_empty()) {
            let message = "`on_excluded` is about days off, and this entry keeps to no calendar";
            let help = "write `only_on` or `skip_on` beside it, or remove it";
            check.report(Finding::warning(Kind::Idle, own.at, message).help(help));
        }
        Ok(Days {
            only_on,
            skip_on,
            on_excluded: on_excluded?.copied().unwrap_or_default(),
            ..Days::default()
        })
    }

    /// Whether its calendars and freezes leave an entry anything, and whether what they move is little enough.
    fn check_what_is_left(&self, check: &mut Check<'_>, entry: &Entry) -> Result<(), Refused> {
        let Some(schedule) = entry
            .schedule
            .as_ref()
            .filter(|schedule| !schedule.days().is_empty())
        else {
            return Ok(());
        };
        let given = self
            .pick(|keys| &keys.only_on)
            .map(|given| given.at)
            .or_else(|| self.pick(|keys| &keys.skip_on).map(|given| given.at));
        let at = given.unwrap_or(self.name_at);
        let name = quoted(self.name.as_str());
        let now = check.world.now;
        let from = entry.not_before.map_or(now, |begin| begin.max(now));
        // A year is looked through day by day, so only for those that are told of it, and not for the ten thousandth.
        let are_many = check.findings.are_many();
        let why = || {
            if are_many {
                return String::new();
            }
            schedule
                .exclusions(from, calendars::coming_year(from))
                .last()
                .map_or_else(String::new, |last| format!(" ({})", last.why))
        };
        let end = entry.not_after;
        match schedule.next_after(from) {
            // Its window is over, or has no tick either way, which is told elsewhere.
            _ if end
                .is_some_and(|end| schedule.named_after(from).is_none_or(|named| named > end)) => {}
            Some(next) if end.is_some_and(|end| next > end) => {
                let message = format!(
                    "calendars and freezes leave the entry {name} nothing within its window{}",
                    why()
                );
                let help = "move `not_before` or `not_after`, or change the calendar";
                check.report(Finding::warning(Kind::Idle, at, message).help(help));
            }
            Some(next) if next > calendars::coming_year(from) => {
                let message = format!(
                    "calendars and freezes leave the entry {name} nothing in the coming year{}; it is next due {}",
                    why(),
                    next.format("%Y-%m-%d")
                );
                let help = "look whether the pattern and the calendar fit each other";
                check.report(Finding::warning(Kind::Idle, at, message).help(help));
            }
            Some(_) => {}
            None => {
                let message = format!(
                    "the entry {name} is never due: calendars leave it nothing{}",
                    why()
                );
                let help = "look whether the pattern and the calendar fit each other; `enabled: false` switches it off";
                check.report(Finding::error(Kind::Idle, at, message).help(help));
                return Err(Refused);
            }
        }
        if schedule.moves() {
            let span = TimeDelta::days(MOVED_DAYS_MAX);
            let weeks = (0..53).map(|week| now + TimeDelta::weeks(week));
            let bare = schedule.clone().with_days(Days::default());
            let busiest = weeks.map(|week| bare.count_between(week, week + span).number());
            if busiest.max().is_some_and(|count| count > MOVED_TICKS_MAX) {
                let at = self
                    .pick(|keys| &keys.on_excluded)
                    .map_or(at, |given| given.at);
                let message = format!(
                    "ticks of the entry {name} are to be moved to other days, and it has more than {MOVED_TICKS_MAX} in \
                     {MOVED_DAYS_MAX} days"
                );
                let help =
                    "what is due every day anyway need not be moved: write `on_excluded: skip`";
                check.report(Finding::error(Kind::Limit, at, message).help(help));
                return Err(Refused);
            }
        }
        Ok(())
    }

    /// Counts what an entry costs, as defaults can repeat a long text a hundred thousand times.
    fn keep(&self, check: &mut Check<'_>, entry: &Entry) -> Option<()> {
        let before = check.kept_bytes_total;
        check.kept_bytes_total = before.saturating_add(bytes(entry));
        if check.kept_bytes_total <= TOTAL_BYTES_MAX {
            return Some(());
        }
        if before <= TOTAL_BYTES_MAX {
            let message = format!(
                "the entries are larger than {} MiB together",
                TOTAL_BYTES_MAX >> 20
            );
            let help = "shorten what `defaults`, aliases or a matrix repeat in every entry, or split the configuration between \
                        daemons";
            check.report(Finding::error(Kind::Limit, self.name_at, message).help(help));
        }
        None
    }

    fn policy(&self, check: &mut Check<'_>, settle: Option<Duration>) -> Result<Policy, Refused> {
        let usual = Policy::default();
        // Worked out first: it reports what is wrong.
        let retry = self.retry(check)?;
        Ok(Policy {
            retry,
            on_doubt: self
                .value(|keys| &keys.on_doubt)?
                .copied()
                .unwrap_or(usual.on_doubt),
            settle: settle.unwrap_or(usual.settle),
            follow: self
                .value(|keys| &keys.follow)?
                .copied()
                .unwrap_or(usual.follow),
            run_timeout: self.value(|keys| &keys.run_timeout)?.copied(),
            overlap: self
                .value(|keys| &keys.overlap)?
                .copied()
                .unwrap_or(usual.overlap),
            priority: self
                .value(|keys| &keys.priority)?
                .copied()
                .unwrap_or(usual.priority),
        })
    }

    fn manner(&self, check: &mut Check<'_>) -> Result<(CatchUp, u32, bool, Labels), Refused> {
        let catch_up = self.value(|keys| &keys.catch_up);
        let catch_up_max = self.value(|keys| &keys.catch_up_max);
        let enabled = self.value(|keys| &keys.enabled);
        let labels = self.value(|keys| &keys.labels);
        let catch_up = catch_up?.copied().unwrap_or(CATCH_UP_DEFAULT);
        self.warn_if_superseded(check, catch_up);
        // Among defaults it may be meant for other entries; what an entry says itself should do something.
        let own = self
            .layers
            .first()
            .and_then(|keys| keys.catch_up_max.as_ref());
        if let Some(own) = own.filter(|own| own.value.is_some() && catch_up != CatchUp::All) {
            let message = "`catch_up_max` bounds `catch_up: all`, which this entry does not say";
            let help = "write `catch_up: all` beside it, or remove it";
            check.report(Finding::warning(Kind::Idle, own.at, message).help(help));
        }
        Ok((
            catch_up,
            catch_up_max?.copied().unwrap_or(CATCH_UP_MAX_DEFAULT),
            enabled?.copied().unwrap_or(true),
            labels?.cloned().unwrap_or_default(),
        ))
    }

    /// Missed ticks that are all caught up, and of which all but one are then dropped.
    fn warn_if_superseded(&self, check: &mut Check<'_>, catch_up: CatchUp) {
        let overlap = self
            .pick(|keys| &keys.overlap)
            .and_then(|overlap| overlap.value);
        let keeps_one = matches!(overlap, Some(Overlap::Queue | Overlap::Replace));
        if let Some(given) = self
            .pick(|keys| &keys.catch_up)
            .filter(|_| keeps_one && catch_up == CatchUp::All)
        {
            let word = overlap_word(overlap.unwrap_or_default());
            let message = format!(
                "`catch_up: all` starts few of the missed ticks with `overlap: {word}`: of those that wait for the pipeline only \
                 the newest is kept"
            );
            let help = "write `catch_up: latest`, or, if each of them is to run, `overlap: allow`";
            check.report(Finding::warning(Kind::Idle, given.at, message).help(help));
        }
    }

    fn zone(&self, check: &Check<'_>) -> Result<Arc<Zone>, Refused> {
        Ok(self
            .value(|keys| &keys.timezone)?
            .map_or_else(|| check.utc(), Arc::clone))
    }

    fn schedule(&self, check: &mut Check<'_>) -> Result<Option<Schedule>, Refused> {
        let help = "write when it is due, such as cron: \"0 2 * * 1-5\"; `cron: \"@manually\"` for an entry that is started \
                    by hand alone";
        let cron = self.needed(check, "cron", help, |keys| &keys.cron)?;
        let Cron::Patterns(patterns) = cron else {
            return Ok(None);
        };
        let zone = self.zone(check)?;
        let texts: Vec<&str> = patterns.iter().map(|(text, ..)| *text).collect();
        let schedule = Schedule::parse_named(&texts, self.name.as_str(), Arc::clone(&zone));
        // Every pattern was read before, but for what `H` stands for here.
        let schedule = schedule.map_err(|error| {
            if let ScheduleError::Patterns(errors) = error {
                for (index, error) in errors {
                    let at = patterns.get(index).map_or(self.name_at, |(_, _, at)| *at);
                    report_pattern(check, &error, None, at);
                }
            }
            Refused
        })?;
        for (pattern, (text, _, at)) in schedule.patterns().iter().zip(patterns) {
            self.check_pattern(check, text, pattern, &zone, *at)?;
        }
        let allowed = self
            .value(|keys| &keys.allow_subminute)?
            .copied()
            .unwrap_or(false);
        if schedule.is_subminute() && !allowed {
            let at = self
                .pick(|keys| &keys.cron)
                .map_or(self.name_at, |given| given.at);
            let message = "this is due more often than once a minute";
            let help = "write 0 into the first of the six fields, which is the second; or, if it is meant, \
                        `allow_subminute: true` beside it";
            check.report(Finding::error(Kind::Pattern, at, message).help(help));
            return Err(Refused);
        }
        Ok(Some(schedule))
    }

    /// What a pattern does in the entry's zone.
    fn check_pattern(
        &self,
        check: &mut Check<'_>,
        text: &str,
        pattern: &CronPattern,
        zone: &Zone,
        at: At,
    ) -> Result<(), Refused> {
        let now = check.world.now;
        if pattern.next_after(zone, now).is_none() {
            let message = format!("{} never fires in {}", quoted(text), zone.name());
            let help = "the clock of that zone skips every time that it names; choose another hour";
            check.report(Finding::error(Kind::Pattern, at, message).help(help));
            return Err(Refused);
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        if let [.., "*", hour, _, _, _] = fields.as_slice()
            && hour.bytes().all(|byte| byte.is_ascii_digit())
        {
            let message = format!("{} starts at each minute of one hour", quoted(text));
            let mut once = vec!["0"; fields.len() - 4];
            once.extend(fields.iter().skip(fields.len() - 4));
            let help = format!(
                "write \"{}\" for one start; if each minute is meant, write `0-59` for the minute",
                once.join(" ")
            );
            check.report(Finding::warning(Kind::Pattern, at, message).help(help));
        }
        if let Some(both) = pattern.restricts_both_day_fields() {
            let dates = next_dates(pattern, zone, now);
            let (rule, help) = match both {
                BothDays::Either => (
                    "so a day that satisfies either is enough",
                    "this is how cron reads it; if only one of them is meant, write `*` for the other; `5#2` is the second Friday of a month",
                ),
                BothDays::Both => (
                    "and one begins with `*`, so a day must satisfy both",
                    "this is how cron reads it; if either is to be enough, write out the field that begins with `*`, such as 1,3,5,7",
                ),
            };
            let message =
                format!("day-of-month and day-of-week are both restricted, {rule}: next {dates}");
            check.report(Finding::warning(Kind::DayFields, at, message).help(help));
        }
        Ok(())
    }

    fn account(
        &self,
        check: &mut Check<'_>,
        accounts: &mut Accounts<'t>,
    ) -> Result<AccountName, Refused> {
        let name = match self.value(|keys| &keys.account)? {
            Some(name) => *name,
            None => self.only_account(check, accounts)?,
        };
        if let Some(account) = accounts.read.get(name) {
            return Ok(account.name.clone());
        }
        if accounts.names.contains_key(name) || accounts.incomplete {
            return Err(Refused);
        }
        let at = self
            .pick(|keys| &keys.account)
            .map_or(self.name_at, |given| given.at);
        // Of a hundred thousand names the first thousand have to do.
        let names: Vec<&str> = accounts
            .names
            .keys()
            .copied()
            .take(SUGGESTED_FROM_MAX)
            .collect();
        let near = if check.findings.are_many() {
            None
        } else {
            text::nearest(name, names.iter().copied())
        };
        let message = format!("there is no account {}", quoted(name));
        let finding = Finding::error(Kind::Reference, at, message);
        check.report(match near {
            Some(near) => finding.help(format!("did you mean `{near}`?")),
            None if names.is_empty() => finding.help(NO_ACCOUNT_HELP).example(ACCOUNT_EXAMPLE),
            None => finding.help(format!("configured are {}", listed(&names))),
        });
        Err(Refused)
    }

    /// The account of an entry that names none.
    fn only_account(
        &self,
        check: &mut Check<'_>,
        accounts: &mut Accounts<'t>,
    ) -> Result<&'t str, Refused> {
        let names: Vec<&'t str> = accounts
            .names
            .keys()
            .copied()
            .take(SUGGESTED_FROM_MAX)
            .collect();
        match names.as_slice() {
            // The cause is reported where the account may have stood.
            _ if accounts.incomplete || self.layers.iter().any(|keys| keys.lacks) => Err(Refused),
            [only] => Ok(only),
            [] => {
                if !accounts.said_none {
                    accounts.said_none = true;
                    let message = "no account is configured, and entries need one";
                    check.report(
                        Finding::error(Kind::Missing, self.name_at, message)
                            .help(NO_ACCOUNT_HELP)
                            .example(ACCOUNT_EXAMPLE),
                    );
                }
                Err(Refused)
            }
            several => {
                let message = format!(
                    "the entry {} names no account, and {} are configured",
                    quoted(self.title),
                    accounts.names.len()
                );
                let help = format!(
                    "write `account: {}` in the entry or under `defaults`; configured are {}",
                    several.first().copied().unwrap_or_default(),
                    listed(several)
                );
                check.report(Finding::error(Kind::Missing, self.name_at, message).help(help));
                Err(Refused)
            }
        }
    }

    fn request(&self, check: &mut Check<'_>) -> Result<RunRequest, Refused> {
        let help = "write the 32 letters and digits that stand in the address of the pipeline's page in the console";
        let project_id = self.needed(check, "project_id", help, |keys| &keys.project_id);
        let pipeline_id = self.needed(check, "pipeline_id", help, |keys| &keys.pipeline_id);
        let description = self.description(check);
        self.warn_if_not_chosen(check);
        let text = |text: &&str| (*text).to_owned();
        Ok(RunRequest {
            project_id: text(project_id?),
            pipeline_id: text(pipeline_id?),
            sources: self.value(|keys| &keys.sources)?.cloned(),
            description: description?.map(str::to_owned),
            variables: self.variables(check)?,
            choose_jobs: self.value(|keys| &keys.choose_jobs)?.cloned(),
            choose_stages: self.value(|keys| &keys.choose_stages)?.cloned(),
            sub_hook: self.value(|keys| &keys.sub_hook)?.copied(),
            execution_plan_id: self.value(|keys| &keys.execution_plan_id)?.map(text),
        })
    }

    /// The variables of each layer that has some, the nearest first; none behind one that says that there are none.
    fn layers_with_variables(&self) -> impl Iterator<Item = (At, &'l Arc<[Variable]>)> + Clone {
        let mut is_over = false;
        let given = self.layers.iter().filter_map(|keys| {
            let given = keys.variables.as_ref()?;
            Some((given.at, given.value.as_ref()?))
        });
        given.take_while(move |(_, variables)| {
            !std::mem::replace(&mut is_over, variables.is_empty())
        })
    }

    /// The entry's variables, and those of defaults that it does not give itself; an empty list takes none of them.
    fn variables(&self, check: &mut Check<'_>) -> Result<Option<Arc<[Variable]>>, Refused> {
        let given = |keys: &&Keys<'_>| {
            keys.variables
                .as_ref()
                .is_some_and(|given| given.value.is_none())
        };
        if self.layers.iter().any(given) {
            return Err(Refused);
        }
        let mut layers = self.layers_with_variables().map(|(_, variables)| variables);
        let Some(own) = layers.next() else {
            return Ok(None);
        };
        let mut merged: Option<Vec<Variable>> = None;
        for variables in layers {
            let all = merged.get_or_insert_with(|| own.to_vec());
            let known: HashSet<String> = all.iter().map(|variable| variable.name.clone()).collect();
            all.extend(
                variables
                    .iter()
                    .filter(|variable| !known.contains(&variable.name))
                    .cloned(),
            );
        }
        Ok(Some(match merged {
            Some(merged) => check.same.variables.shared(merged),
            None => Arc::clone(own),
        }))
    }

    /// Jobs of a stage that is not chosen, which the API ignores. Which stage a job belongs to only the service knows; here
    /// it is said where nobody can have meant it.
    fn warn_if_not_chosen(&self, check: &mut Check<'_>) {
        let (Some(jobs), Some(stages)) = (
            self.pick(|keys| &keys.choose_jobs),
            self.pick(|keys| &keys.choose_stages),
        ) else {
            return;
        };
        let (Some(names), Some(chosen)) = (&jobs.value, &stages.value) else {
            return;
        };
        let own = |given: &Given<Arc<[String]>>, own: Option<&Given<Arc<[String]>>>| {
            own.is_some_and(|own| own.at == given.at)
        };
        let is_own = self.layers.first().is_some_and(|keys| {
            own(jobs, keys.choose_jobs.as_ref()) && !own(stages, keys.choose_stages.as_ref())
        });
        let label = if chosen.is_empty() {
            "no stage is chosen"
        } else {
            "stages are chosen here"
        };
        let (message, help) = if names.is_empty() {
            return;
        } else if chosen.is_empty() {
            (
                "`choose_jobs` names jobs, and `choose_stages` no stage: the API ignores jobs of a stage that is not chosen",
                "name the stages of these jobs as well, or remove `choose_stages`",
            )
        } else if is_own {
            (
                "the stages chosen in the defaults hold for this entry too: of its `choose_jobs` the API ignores those of other \
                 stages",
                "write the entry's own `choose_stages` beside them, with the stages of these jobs",
            )
        } else {
            return;
        };
        check.report(
            Finding::warning(Kind::Idle, jobs.at, message)
                .help(help)
                .related(stages.at, label),
        );
    }

    /// The description, which leaves room for the marker of the longest tick's id.
    fn description(&self, check: &mut Check<'_>) -> Result<Option<&'t str>, Refused> {
        let Some(given) = self.pick(|keys| &keys.description) else {
            return Ok(None);
        };
        let text = given.value.ok_or(Refused)?;
        if template::is_template(text) {
            return Ok(Some(text)); // what it makes is measured
        }
        // The form is what counts, so any instant does; `+xxxx` tells apart manual ticks of one second.
        let left = description_chars_max(&TickId::manual(self.name, Timestamp::UNIX_EPOCH, "xxxx"));
        let count = text.chars().count();
        if count > left {
            let message = format!(
                "the description has {count} characters, and {left} are left for text beside the marker"
            );
            let help = format!(
                "shorten it by {}: the API takes {DESCRIPTION_CHARS_MAX}, and the marker, which has the name {}, is how \
                 pipecron finds the run again",
                count - left,
                quoted(self.title)
            );
            check.report(Finding::error(Kind::Limit, given.at, message).help(help));
            return Err(Refused);
        }
        Ok(Some(text))
    }

    fn retry(&self, check: &mut Check<'_>) -> Result<Retry, Refused> {
        let usual = Retry::default();
        let retry = Retry {
            max_attempts: self
                .value(|keys| &keys.retry.max_attempts)?
                .copied()
                .unwrap_or(usual.max_attempts),
            initial_backoff: self
                .value(|keys| &keys.retry.initial_backoff)?
                .copied()
                .unwrap_or(usual.initial_backoff),
            max_backoff: self
                .value(|keys| &keys.retry.max_backoff)?
                .copied()
                .unwrap_or(usual.max_backoff),
            multiplier: self
                .value(|keys| &keys.retry.multiplier)?
                .copied()
                .unwrap_or(usual.multiplier),
            jitter: self
                .value(|keys| &keys.retry.jitter)?
                .copied()
                .unwrap_or(usual.jitter),
        };
        if retry.initial_backoff > retry.max_backoff {
            let nearest = self.pick(|keys| &keys.retry.initial_backoff);
            let at = nearest
                .or_else(|| self.pick(|keys| &keys.retry.max_backoff))
                .map_or(self.name_at, |given| given.at);
            let message = format!(
                "the first wait of `retry` ({}) is longer than the longest ({})",
                text::show_duration(retry.initial_backoff),
                text::show_duration(retry.max_backoff)
            );
            check.report(
                Finding::error(Kind::Conflict, at, message)
                    .help("raise `max_backoff`, or lower `initial_backoff`"),
            );
            return Err(Refused);
        }
        Ok(retry)
    }

    fn spread(&self, check: &mut Check<'_>) -> Result<(Duration, Duration), Refused> {
        let spread = self
            .value(|keys| &keys.spread)?
            .copied()
            .unwrap_or(Duration::ZERO);
        let deadline = self
            .value(|keys| &keys.deadline)?
            .copied()
            .unwrap_or(DEADLINE_DEFAULT);
        if spread >= deadline {
            let given = self
                .pick(|keys| &keys.spread)
                .or_else(|| self.pick(|keys| &keys.deadline));
            let at = given.map_or(self.name_at, |given| given.at);
            let message = format!(
                "starts are spread over {}, but given up {} after they are due",
                text::show_duration(spread),
                text::show_duration(deadline)
            );
            check.report(
                Finding::error(Kind::Conflict, at, message)
                    .help("make `deadline` longer than `spread`"),
            );
            return Err(Refused);
        }
        Ok((spread, deadline))
    }

    fn window(
        &self,
        check: &mut Check<'_>,
    ) -> Result<(Option<Timestamp>, Option<Timestamp>), Refused> {
        let before = self.value(|keys| &keys.not_before)?;
        let after = self.value(|keys| &keys.not_after)?;
        if before.is_none() && after.is_none() {
            return Ok((None, None));
        }
        let zone = self.zone(check)?;
        let not_before = before.map(|bound| text::first_instant(*bound, &zone));
        let not_after = after.map(|bound| text::last_instant(*bound, &zone));
        if let (Some(first), Some(last)) = (not_before, not_after)
            && first > last
            && let (Some(before), Some(after)) = (
                self.pick(|keys| &keys.not_before),
                self.pick(|keys| &keys.not_after),
            )
        {
            let message = "`not_after` lies before `not_before`, so the entry is never due";
            check.report(
                Finding::error(Kind::Conflict, after.at, message)
                    .help("exchange them, or correct one")
                    .related(before.at, "not due before this"),
            );
            return Err(Refused);
        }
        Ok((not_before, not_after))
    }

    /// An entry that will never be due again.
    fn warn_if_idle(&self, check: &mut Check<'_>, entry: &Entry) {
        let Some(not_after) = entry.not_after else {
            return;
        };
        let now = check.world.now;
        let at = self
            .pick(|keys| &keys.not_after)
            .map_or(self.name_at, |given| given.at);
        let name = quoted(self.title);
        if not_after < now {
            let message = format!(
                "the window of the entry {name} lies in the past, so it is never due again"
            );
            let help = "remove the entry, or move `not_after`";
            check.report(Finding::warning(Kind::Idle, at, message).help(help));
            return;
        }
        let Some(schedule) = &entry.schedule else {
            return;
        };
        let from = entry
            .not_before
            .map_or(now, |before| (before - TimeDelta::seconds(1)).max(now));
        if schedule
            .named_after(from)
            .is_none_or(|next| next > not_after)
        {
            let message = format!("the entry {name} is not due even once within its window");
            let help = "move `not_before` or `not_after`, or change `cron`";
            check.report(Finding::warning(Kind::Idle, at, message).help(help));
        }
    }
}

const NO_ACCOUNT_HELP: &str = "write one at the left edge of any of the files";
const ACCOUNT_EXAMPLE: &str = "\
    accounts:\n  main: { region: cn-north-4 }";

/// The next three dates on which a pattern fires.
fn next_dates(pattern: &CronPattern, zone: &Zone, now: Timestamp) -> String {
    let mut dates = Vec::new();
    let mut after = now;
    while dates.len() < 3
        && let Some(firing) = pattern.next_after(zone, after)
    {
        let day = zone.local(firing).date();
        dates.push(day.format("%a %Y-%m-%d").to_string());
        after = text::last_instant(text::Bound::Day(day), zone).max(firing);
    }
    dates.join(", ")
}

/// How much memory an entry takes, about.
fn bytes(entry: &Entry) -> usize {
    let text = |text: &String| text.len() + TEXT_BYTES;
    let optional = |option: &Option<String>| option.as_ref().map_or(0, text);
    let list = |list: Option<&[String]>| list.into_iter().flatten().map(text).sum::<usize>();
    let request = &entry.request;
    let source = |source: &Source| {
        let params = source.params.as_ref().map_or(0, |params| {
            let build = params.build_params.as_ref().map_or(0, |build| {
                optional(&build.target_branch) + optional(&build.tag)
            });
            text(&params.git_url)
                + optional(&params.alias)
                + list(params.change_request_ids.as_deref())
                + build
        });
        size_of::<Source>() + params
    };
    let variable = |variable: &Variable| {
        let value = match &variable.value {
            VariableValue::Value(value) => value.len(),
            VariableValue::Secret(_) => TEXT_BYTES,
        };
        text(&variable.name) + value + TEXT_BYTES
    };
    let schedule = entry.schedule.as_ref().map_or(0, |schedule| {
        schedule.texts().iter().map(text).sum::<usize>() + size_of_val(schedule.patterns())
    });
    size_of::<Entry>()
        + entry.labels.iter().map(text).sum::<usize>()
        + schedule
        + optional(&request.description)
        + list(request.choose_jobs.as_deref())
        + list(request.choose_stages.as_deref())
        + request
            .sources
            .iter()
            .flat_map(|list| list.iter())
            .map(source)
            .sum::<usize>()
        + request
            .variables
            .iter()
            .flat_map(|list| list.iter())
            .map(variable)
            .sum::<usize>()
}
