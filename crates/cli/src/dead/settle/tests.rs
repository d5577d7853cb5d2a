//! Wherever a run is ended, no letter is lost: checked against a broker and a pile that stop at any step.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use proptest::collection::vec;
use proptest::prelude::*;
use tidemill::topic::TopicName;
use tidemill::{Properties, Reason};

use super::super::letter::tests::headers;
use super::*;

/// The broker and the pile, as they are when the process is gone.
#[derive(Debug, Default)]
struct World {
    pile: VecDeque<u64>,
    replayed: BTreeMap<u64, u64>,
    put_back: BTreeMap<u64, u64>,
    refuses: Vec<u64>,
    steps_left: usize,
}

impl World {
    fn step(&mut self) -> bool {
        self.steps_left = self.steps_left.saturating_sub(1);
        self.steps_left > 0
    }
}

struct Hands(Arc<Mutex<World>>);

#[async_trait]
impl Pile<u64> for Hands {
    async fn take_off(&mut self, place: u64) -> Result<(), Failure> {
        let mut world = self.0.lock().unwrap();
        if !world.step() {
            return Err(Failure::Run("ended".to_owned()));
        }
        assert_eq!(world.pile.pop_front(), Some(place), "in the order of the pile");
        Ok(())
    }
}

#[async_trait]
impl Publish for Hands {
    async fn start(
        &self,
        publication: Publication,
    ) -> Result<oneshot::Receiver<Result<Receipt, PublishError>>, PublishError> {
        let mut world = self.0.lock().unwrap();
        let number = u64::from(publication.payload[0]);
        let is_copy = publication.topic.as_str().starts_with("tidemill/dead/");
        if !world.step() {
            return Err(PublishError::Closed);
        }
        let (answer, answered) = oneshot::channel();
        if !is_copy && world.refuses.contains(&number) {
            answer.send(Err(PublishError::Refused(Reason::NOT_AUTHORIZED))).unwrap();
            return Ok(answered);
        }
        let where_to = if is_copy { &mut world.put_back } else { &mut world.replayed };
        *where_to.entry(number).or_default() += 1;
        // The broker has it, and the answer may still be lost.
        if world.step() {
            answer.send(Ok(Receipt::default())).unwrap();
        }
        Ok(answered)
    }

    fn trouble(&self) -> Option<String> {
        None
    }
}

fn held(number: u64) -> Held<u64> {
    let mut properties = Properties::default();
    properties.user = headers("r", "attempts", "a/b");
    let payload = vec![u8::try_from(number).unwrap()];
    let carrier = Publication::new(TopicName::new("tidemill/dead/r").unwrap(), payload).with_properties(properties);
    Held { number, place: number, letter: Letter::of_publication(carrier) }
}

/// Settles the letters from the first on, and ends after so many steps.
fn run(fates: &[Fate], refuses: &[u64], steps: usize) -> (World, Result<Tally, Failure>) {
    let count = fates.len() as u64;
    let world = World { pile: (1..=count).collect(), refuses: refuses.to_vec(), steps_left: steps, ..World::default() };
    let world = Arc::new(Mutex::new(world));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let result = runtime.block_on(async {
        let (mut pile, publisher) = (Hands(Arc::clone(&world)), Hands(Arc::clone(&world)));
        let mut told = |_, _: &Letter, _| {};
        let patience = Duration::from_secs(5);
        let mut settler = Settler::new(&mut pile, Some(&publisher), 0, patience, &mut told);
        for (number, fate) in (1..).zip(fates) {
            settler.settle(held(number), *fate).await?;
        }
        settler.finish().await?;
        Ok(settler.tally().clone())
    });
    (Arc::into_inner(world).unwrap().into_inner().unwrap(), result)
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![Just(Fate::Replay), Just(Fate::Drop), Just(Fate::Keep)]
}

proptest! {
    #[test]
    fn no_letter_is_lost_wherever_it_ends(
        fates in vec(fate(), 1..150),
        refused in vec(1_u64..150, 0..4),
        steps in 0_usize..400,
    ) {
        let (world, result) = run(&fates, &refused, steps);
        for (number, fate) in (1..).zip(&fates) {
            let on_pile = world.pile.contains(&number);
            let put_back = world.put_back.contains_key(&number);
            let replayed = world.replayed.contains_key(&number);
            let safe = match fate {
                Fate::Drop => true,
                Fate::Keep => on_pile || put_back,
                Fate::Replay if refused.contains(&number) => !replayed && (on_pile || put_back),
                Fate::Replay => on_pile || replayed,
            };
            prop_assert!(safe, "letter {} is lost", number);
            prop_assert!(world.replayed.get(&number).is_none_or(|times| *times == 1), "replayed twice by one run");
        }
        prop_assert!(result.is_err() || world.pile.is_empty());
    }

    #[test]
    fn a_run_that_is_not_ended_does_what_was_asked(fates in vec(fate(), 1..150), refused in vec(1_u64..150, 0..4)) {
        let (world, result) = run(&fates, &refused, usize::MAX);
        let tally = result.unwrap();
        let of = |fate| fates.iter().filter(|other| **other == fate).count() as u64;
        let refusals = (1..).zip(&fates).filter(|(number, fate)| **fate == Fate::Replay && refused.contains(number)).count() as u64;
        prop_assert!(world.pile.is_empty());
        prop_assert_eq!(tally.replayed, of(Fate::Replay) - refusals);
        prop_assert_eq!(tally.replayed, world.replayed.len() as u64);
        prop_assert_eq!((tally.dropped, tally.refused), (of(Fate::Drop), refusals));
        prop_assert_eq!(tally.kept, of(Fate::Keep) + refusals);
        prop_assert_eq!(tally.kept, world.put_back.len() as u64);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_spaces_replays_evenly() {
    let world = Arc::new(Mutex::new(World { pile: (1..=11).collect(), steps_left: usize::MAX, ..World::default() }));
    let (mut pile, publisher) = (Hands(Arc::clone(&world)), Hands(Arc::clone(&world)));
    let mut told = |_, _: &Letter, _| {};
    let began = tokio::time::Instant::now();
    let mut settler = Settler::new(&mut pile, Some(&publisher), 5, Duration::from_secs(5), &mut told);
    for number in 1..=11 {
        settler.settle(held(number), Fate::Replay).await.unwrap();
    }
    settler.finish().await.unwrap();
    assert_eq!(began.elapsed().as_millis(), 2000);
}
