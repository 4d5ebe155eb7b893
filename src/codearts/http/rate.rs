//! When an account's next request may leave: so many a second, starts before looks, and no more than a few looks at once.
//!
//! In no stretch of a second more requests leave than the account's rate says; after a pause that many may leave
//! together. (The usual token bucket lets twice as many through in its first second, and a gateway that counts would
//! refuse what is over.) Who waits is served in turn: starts as they came, looks by the time they have to be done by, so
//! that of many looks the first ones end rather than all of them run out of time. A look must not hold up a nightly, so
//! starts go first; but of ten requests one is a look's if a look waits, so that lost runs are found while thousands
//! start.
//!
//! Nobody waits for long: so many wait at most, and one more is told so at once; a look waits for as long as it has.
//! While anybody waits a task of its own hands out the permits. If those who wait did it themselves, one that its owner
//! does not poll for a while would hold up all others.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// How many looks of an account are under way at once: the service is there for the starts.
pub(super) const LOOKS_AT_ONCE: usize = 8;
/// So many starts wait for an account, at most, and so many looks (P9). The daemon has fewer requests under way.
pub(super) const WAITING_MAX: usize = 256;
/// So many starts go before a look that waits.
const STARTS_BEFORE_A_LOOK: u32 = 9;
const SECOND: Duration = Duration::from_secs(1);

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Errand {
    /// A start, or what has to be known or done right before one; given up then.
    Start { until: Instant },
    /// A call of a look that is to be done by then.
    Look { until: Instant },
}

impl Errand {
    /// When it gives up.
    pub(super) fn until(self) -> Instant {
        match self {
            Self::Start { until } | Self::Look { until } => until,
        }
    }
}

/// Why there is no permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPermit {
    /// Too many wait.
    Crowded,
    /// Its time was over.
    TooLate,
    /// The service wants no more requests for now.
    TurnedBack,
}

/// The requests of one account.
#[derive(Debug)]
pub(super) struct Rate {
    state: Mutex<State>,
    /// Something may be handed out earlier than was thought.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    per_second: usize,
    /// When the permits of the last second were given, oldest first.
    given: VecDeque<Instant>,
    starts: VecDeque<oneshot::Sender<Permit>>,
    /// By the time they have to be done by, then as they came.
    looks: BTreeMap<(Instant, u64), oneshot::Sender<Permit>>,
    looks_under_way: usize,
    /// How many starts went before the look that is next.
    gone_before: u32,
    looks_ever: u64,
    /// Whether there is a task that hands out.
    is_served: bool,
}

/// Leave to send one request now. To be kept until the answer is there.
#[derive(Debug)]
pub(super) struct Permit {
    /// Where it counts as a look under way.
    look_of: Option<Arc<Rate>>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(rate) = self.look_of.take() {
            let mut state = rate.state();
            state.looks_under_way = state.looks_under_way.saturating_sub(1);
            drop(state);
            rate.changed.notify_one();
        }
    }
}

/// The longest a start waits for its permit.
pub(super) fn longest_wait(per_second: u32) -> Duration {
    let starts = u32::try_from(WAITING_MAX).unwrap_or(u32::MAX);
    // One look before the first of them, and one after every nine.
    let permits = starts + starts.div_ceil(STARTS_BEFORE_A_LOOK);
    SECOND * permits.div_ceil(per_second.max(1))
}

impl Rate {
    pub(super) fn new(per_second: u32) -> Self {
        Self {
            state: Mutex::new(State {
                per_second: whole(per_second),
                given: VecDeque::new(),
                starts: VecDeque::new(),
                looks: BTreeMap::new(),
                looks_under_way: 0,
                gone_before: 0,
                looks_ever: 0,
                is_served: false,
            }),
            changed: Notify::new(),
        }
    }

    /// Holds at once, also for those who wait.
    pub(super) fn set(&self, per_second: u32) {
        self.state().per_second = whole(per_second);
        self.changed.notify_one();
    }

    /// Turns back all who wait: the service was just asked too much, or refused our credentials. They come again when the
    /// account has rested.
    pub(super) fn turn_back(&self) {
        let mut state = self.state();
        state.starts.clear();
        state.looks.clear();
    }

    /// Whether nothing would be known any more if this were dropped and made anew.
    pub(super) fn is_idle(&self) -> bool {
        let mut state = self.state();
        state.forget(Instant::now());
        state.given.is_empty()
    }

    /// Waits for a permit.
    ///
    /// # Errors
    /// When too many wait, its time is over, or all who wait are turned back.
    pub(super) async fn permit(self: &Arc<Self>, errand: Errand) -> Result<Permit, NoPermit> {
        let ours = self.state().join(errand).ok_or(NoPermit::Crowded)?;
        self.hand_out();
        if self.state().wants_serving() {
            tokio::spawn(Arc::clone(self).serve());
        }
        match tokio::time::timeout_at(errand.until(), ours).await {
            Ok(permit) => permit.map_err(|_| NoPermit::TurnedBack),
            Err(_) => Err(NoPermit::TooLate),
        }
    }

    /// Hands out until nobody waits.
    async fn serve(self: Arc<Self>) {
        loop {
            let next = self.hand_out();
            if self.state().ends_serving() {
                return;
            }
            tokio::select! {
                () = self.changed.notified() => {}
                () = at(next) => {}
            }
        }
    }

    /// Gives permits to those whose turn it is, and tells when there will be the next; none if that is not for time to
    /// tell.
    fn hand_out(self: &Arc<Self>) -> Option<Instant> {
        let now = Instant::now();
        let mut lucky = Vec::new();
        let next = {
            let mut state = self.state();
            loop {
                if let Some(later) = state.free_at(now) {
                    break Some(later);
                }
                let Some((to, look)) = state.next() else {
                    break None;
                };
                state.given.push_back(now);
                let look_of = look.then(|| Arc::clone(self));
                lucky.push((to, Permit { look_of }));
            }
        };
        // Outside the lock: a permit whose owner has just gone away is dropped, and takes it.
        for (to, permit) in lucky {
            let _ = to.send(permit);
        }
        next
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes a place in the row; none if it is too long.
    fn join(&mut self, errand: Errand) -> Option<oneshot::Receiver<Permit>> {
        let (to, ours) = oneshot::channel();
        match errand {
            Errand::Start { .. } => {
                if self.starts.len() >= WAITING_MAX {
                    self.starts.retain(|to| !to.is_closed());
                }
                (self.starts.len() < WAITING_MAX).then(|| self.starts.push_back(to))?;
            }
            Errand::Look { until } => {
                if self.looks.len() >= WAITING_MAX {
                    self.looks.retain(|_, to| !to.is_closed());
                }
                self.looks_ever += 1;
                let place = (until, self.looks_ever);
                (self.looks.len() < WAITING_MAX).then(|| self.looks.insert(place, to))?;
            }
        }
        Some(ours)
    }

    /// Whether a task is needed that hands out; it is there from now on.
    fn wants_serving(&mut self) -> bool {
        let is_needed = !self.starts.is_empty() || !self.looks.is_empty();
        is_needed && !std::mem::replace(&mut self.is_served, is_needed)
    }

    /// Whether it may end; it is not there any more then.
    fn ends_serving(&mut self) -> bool {
        self.is_served = !self.starts.is_empty() || !self.looks.is_empty();
        !self.is_served
    }

    /// Whose turn it is, and whether he looks. Who has gone away meanwhile is passed over.
    fn next(&mut self) -> Option<(oneshot::Sender<Permit>, bool)> {
        loop {
            let look_waits = self.looks_under_way < LOOKS_AT_ONCE && !self.looks.is_empty();
            let is_looks_turn = look_waits && self.gone_before >= STARTS_BEFORE_A_LOOK;
            if let Some(start) = (!is_looks_turn).then(|| self.starts.pop_front()).flatten() {
                if !start.is_closed() {
                    self.gone_before += u32::from(look_waits);
                    return Some((start, false));
                }
            } else if look_waits {
                if let Some((_, look)) = self.looks.pop_first()
                    && !look.is_closed()
                {
                    self.gone_before = 0;
                    self.looks_under_way += 1;
                    return Some((look, true));
                }
            } else {
                return None;
            }
        }
    }

    /// When there is a permit; none: now.
    fn free_at(&mut self, now: Instant) -> Option<Instant> {
        self.forget(now);
        let spent = self.given.len().checked_sub(self.per_second)?;
        self.given.get(spent).map(|given| *given + SECOND)
    }

    fn forget(&mut self, now: Instant) {
        while self
            .given
            .front()
            .is_some_and(|given| now.saturating_duration_since(*given) >= SECOND)
        {
            self.given.pop_front();
        }
    }
}

fn whole(per_second: u32) -> usize {
    usize::try_from(per_second).unwrap_or(usize::MAX).max(1)
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinHandle;

    use super::*;

    /// Who got a permit, and when.
    #[derive(Clone)]
    struct Row {
        rate: Arc<Rate>,
        begun: Instant,
        served: Arc<Mutex<Vec<(String, Duration)>>>,
    }

    impl Row {
        fn new(per_second: u32) -> Self {
            Self {
                rate: Arc::new(Rate::new(per_second)),
                begun: Instant::now(),
                served: Arc::default(),
            }
        }

        /// Somebody comes, and keeps his permit for so long. He is in the row when this returns.
        async fn comes(
            &self,
            who: &str,
            errand: Errand,
            keeps: Duration,
        ) -> JoinHandle<Option<NoPermit>> {
            let (row, who) = (self.clone(), who.to_owned());
            let task = tokio::spawn(async move {
                let permit = match row.rate.permit(errand).await {
                    Ok(permit) => permit,
                    Err(why) => return Some(why),
                };
                let at = row.begun.elapsed();
                row.served.lock().unwrap().push((who, at));
                tokio::time::sleep(keeps).await;
                drop(permit);
                None
            });
            tokio::task::yield_now().await;
            task
        }

        async fn starts(&self, count: usize) -> Vec<JoinHandle<Option<NoPermit>>> {
            let mut tasks = Vec::new();
            for number in 0..count {
                let errand = start();
                tasks.push(
                    self.comes(&format!("start {number}"), errand, Duration::ZERO)
                        .await,
                );
            }
            tasks
        }

        fn served(&self) -> Vec<(String, Duration)> {
            self.served.lock().unwrap().clone()
        }

        fn order(&self) -> Vec<String> {
            self.served().into_iter().map(|(who, _)| who).collect()
        }
    }

    fn start() -> Errand {
        Errand::Start { until: ever() }
    }

    fn look() -> Errand {
        Errand::Look { until: ever() }
    }

    fn ever() -> Instant {
        Instant::now() + Duration::from_secs(100_000)
    }

    async fn all(tasks: Vec<JoinHandle<Option<NoPermit>>>) -> Vec<Option<NoPermit>> {
        let mut outcomes = Vec::new();
        for task in tasks {
            outcomes.push(task.await.unwrap());
        }
        outcomes
    }

    #[tokio::test(start_paused = true)]
    async fn no_stretch_of_a_second_has_more_than_the_rate_and_none_is_wasted() {
        for (per_second, count) in [(1, 5), (3, 32), (10, 64), (100, 256), (1000, 256)] {
            let row = Row::new(per_second);
            // Comes in the middle of a second that has spent half of its permits.
            let half = usize::try_from(per_second / 2).unwrap().min(count);
            all(row.starts(half).await).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            all(row.starts(count - half).await).await;
            let served = row.served();
            assert_eq!(served.len(), count);
            let rate = usize::try_from(per_second).unwrap();
            for (one, later) in served.iter().zip(&served[rate.min(count)..]) {
                assert!(
                    later.1 - one.1 >= SECOND,
                    "{per_second}: {one:?} and {later:?}"
                );
            }
            let (_, last) = served[count - 1];
            let full_seconds = u32::try_from((count - 1) / rate).unwrap();
            let least = full_seconds * SECOND + Duration::from_millis(500);
            assert!(
                last <= least + Duration::from_millis(u64::from(full_seconds) + 1),
                "{per_second}: {last:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn starts_go_as_they_came_and_before_looks_but_of_ten_permits_one_is_a_looks() {
        let row = Row::new(1);
        let mut tasks = row.starts(1).await;
        for number in 0..3 {
            let name = format!("look {number}");
            tasks.push(row.comes(&name, look(), Duration::ZERO).await);
        }
        tasks.extend(row.starts(20).await);
        all(tasks).await;
        let mut expected = vec!["start 0".to_owned()];
        expected.extend((0..9).map(|number| format!("start {number}")));
        expected.push("look 0".to_owned());
        expected.extend((9..18).map(|number| format!("start {number}")));
        expected.push("look 1".to_owned());
        expected.extend((18..20).map(|number| format!("start {number}")));
        expected.push("look 2".to_owned());
        assert_eq!(row.order(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn of_looks_the_one_that_has_to_end_first_goes_first() {
        let row = Row::new(1);
        let now = Instant::now();
        let mut tasks = row.starts(1).await;
        for secs in [300, 100, 200] {
            let until = now + Duration::from_secs(secs);
            let name = secs.to_string();
            tasks.push(
                row.comes(&name, Errand::Look { until }, Duration::ZERO)
                    .await,
            );
        }
        all(tasks).await;
        assert_eq!(row.order()[1..], ["100", "200", "300"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_looks_at_once_and_starts_beside_them() {
        let row = Row::new(1000);
        let mut tasks = Vec::new();
        for number in 0..20 {
            let keeps = Duration::from_secs(10);
            tasks.push(row.comes(&number.to_string(), look(), keeps).await);
        }
        all(row.starts(3).await).await;
        assert_eq!(row.order().len(), LOOKS_AT_ONCE + 3);
        all(tasks).await;
        let at = |number: usize| {
            let served = row.served();
            let of = |(who, _): &&(String, Duration)| *who == number.to_string();
            served.iter().find(of).unwrap().1.as_secs()
        };
        assert_eq!([7, 8, 15, 16, 19].map(at), [0, 10, 10, 20, 20]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_rate_holds_at_once() {
        let row = Row::new(1);
        let slow = row.starts(30).await;
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        assert_eq!(row.order().len(), 3);
        row.rate.set(100);
        all(slow).await;
        assert!(row.begun.elapsed() < Duration::from_millis(2_600));

        let row = Row::new(10);
        all(row.starts(10).await).await;
        row.rate.set(2);
        all(row.starts(4).await).await;
        let at: Vec<u64> = row.served()[10..]
            .iter()
            .map(|(_, at)| at.as_secs())
            .collect();
        assert_eq!(at, [1, 1, 2, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_away_leaves_his_place_to_others() {
        let row = Row::new(1);
        let tasks = row.starts(5).await;
        tasks[1].abort();
        tasks[3].abort();
        tokio::time::sleep(Duration::from_secs(60)).await;
        let secs: Vec<(String, u64)> = row
            .served()
            .into_iter()
            .map(|(who, at)| (who, at.as_secs()))
            .collect();
        let expected = [("start 0", 0), ("start 2", 1), ("start 4", 2)];
        assert_eq!(secs, expected.map(|(who, at)| (who.to_owned(), at)));

        // A look that goes away with its permit unread frees its place among the looks.
        let rate = Arc::new(Rate::new(1000));
        for _ in 0..3 * LOOKS_AT_ONCE {
            let mut waiting = Box::pin(rate.permit(look()));
            // Its first poll may or may not bring the permit.
            tokio::select! {
                biased;
                () = std::future::ready(()) => {}
                _ = &mut waiting => {}
            }
            let unread = rate.state().join(look()).unwrap();
            rate.hand_out();
            drop((waiting, unread));
        }
        assert_eq!(rate.state().looks_under_way, 0);
        assert!(rate.permit(look()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_may_wait_and_each_of_them_has_his_turn_in_time() {
        for per_second in [1, 7] {
            let row = Row::new(per_second);
            all(row.starts(usize::try_from(per_second).unwrap()).await).await;
            // As bad as it gets: the next permit is a second away, and looks wait all the while.
            let mut looks = Vec::new();
            for number in 0..WAITING_MAX {
                let name = format!("look {number}");
                looks.push(row.comes(&name, look(), Duration::ZERO).await);
            }
            row.rate.state().gone_before = STARTS_BEFORE_A_LOOK;
            let begun = row.begun.elapsed();
            let waiting = row.starts(WAITING_MAX).await;
            let (one_more, no_look) = (row.rate.permit(start()), row.rate.permit(look()));
            assert_eq!(one_more.await.unwrap_err(), NoPermit::Crowded);
            assert_eq!(no_look.await.unwrap_err(), NoPermit::Crowded);
            all(waiting).await;
            let took = row.begun.elapsed() - begun;
            let longest = longest_wait(per_second);
            assert!(took <= longest, "{took:?} of {longest:?}");
            assert!(
                took + Duration::from_secs(3) > longest,
                "{took:?} of {longest:?}"
            );
            looks.iter().for_each(JoinHandle::abort);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_gone_away_does_not_crowd_the_row() {
        let rate = Arc::new(Rate::new(1));
        let first = rate.permit(start()).await.unwrap();
        for _ in 0..3 * WAITING_MAX {
            drop(rate.state().join(start()).unwrap());
            drop(rate.state().join(look()).unwrap());
        }
        drop(first);
        assert!(rate.permit(start()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_wait_are_turned_back_and_the_next_is_served() {
        let row = Row::new(2);
        let mut tasks = row.starts(6).await;
        tasks.push(row.comes("look", look(), Duration::ZERO).await);
        row.rate.turn_back();
        let mut expected = vec![None, None];
        expected.extend([Some(NoPermit::TurnedBack); 5]);
        assert_eq!(all(tasks).await, expected);
        assert!(row.rate.permit(start()).await.is_ok());
        assert_eq!(row.begun.elapsed().as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_beyond_his_time() {
        let row = Row::new(1);
        let until = Instant::now() + Duration::from_millis(1_500);
        let mut tasks = row.starts(1).await;
        for _ in 0..3 {
            let errand = Errand::Start { until };
            tasks.push(row.comes("hurried", errand, Duration::ZERO).await);
        }
        let outcomes = all(tasks).await;
        let late = Some(NoPermit::TooLate);
        assert_eq!(outcomes, [None, None, late, late]);
        assert!(row.begun.elapsed() < Duration::from_millis(1_600));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_goes_on_when_nobody_waits() {
        let row = Row::new(1);
        all(row.starts(3).await).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(!row.rate.state().is_served);
        assert!(!row.rate.is_idle());
        tokio::time::sleep(SECOND).await;
        assert!(row.rate.is_idle());
        assert_eq!(Arc::strong_count(&row.rate), 1);
    }
}
