//! Letters that lie in a file: the file is written anew, without those that are gone.

use std::path::Path;

use tidemill::async_trait;
use tokio_util::sync::CancellationToken;

use super::Act;
use super::args::{self, Broker};
use super::file::{DeadFile, Line};
use super::letter::Letter;
use super::queue;
use super::select::{Picker, Selection};
use super::settle::{Fate, Held, Pile, Settler};
use super::show::{Printer, Shown, Style, say};
use super::tally::Tally;
use crate::exit::Failure;

/// Lines that the broker has and the file need not have any more.
struct Gone(Vec<Line>);

#[async_trait]
impl Pile<Line> for Gone {
    async fn take_off(&mut self, line: Line) -> Result<(), Failure> {
        self.0.push(line);
        Ok(())
    }
}

/// Shows letters and changes nothing.
///
/// # Errors
/// The file cannot be read.
pub(super) fn look(path: &Path, selection: &Selection, printer: &mut Printer) -> Result<(), Failure> {
    let mut picker = Picker::new(selection);
    let mut all = 0;
    DeadFile::look(path)?.scan(|line, letter| {
        all = line.number;
        let chosen = match &letter {
            Ok(letter) => picker.picks(line.number, letter),
            // Whoever looks at everything sees that it is there.
            Err(_) => picker.picks_unreadable(line.number) || selection.is_open(),
        };
        let letter = letter.as_ref().map_err(String::as_str);
        if chosen { printer.show(Shown { number: line.number, letter, action: None }) } else { Ok(()) }
    })?;
    printer.finish()?;
    say(&match all {
        0 => "no dead letters".to_owned(),
        all => format!("{} of {all} dead letters", printer.shown()),
    });
    Ok(())
}

/// Replays or drops letters. Replaying takes a broker.
///
/// # Errors
/// It could not begin. What went wrong afterwards is in the second part of the result, beside what was done.
pub(super) async fn act(
    path: &Path,
    broker: Option<&Broker>,
    selection: &Selection,
    act: &Act,
    printer: &mut Printer,
    stop: &CancellationToken,
) -> Result<(Tally, Option<Failure>), Failure> {
    let mut file = if act.dry_run { DeadFile::look(path)? } else { DeadFile::change(path)? };
    let mut tally = Tally::default();
    let chosen = choose(&mut file, selection, act, printer, &mut tally)?;
    if act.dry_run || chosen.is_empty() {
        return Ok((tally, None));
    }
    let Some(rate) = act.replay else {
        file.save(&chosen)?;
        tally.dropped += chosen.len() as u64;
        let shown = chosen.iter().try_for_each(|line| {
            let letter = file.read(*line);
            tell(printer, line.number, letter.as_ref().map_err(|_| "it could not be read"), Fate::Drop)
        });
        return Ok((tally, shown.err()));
    };
    let Some(broker) = broker else { return Err(args::no_source()) };
    let publisher = queue::publisher(broker).await?;
    let mut pile = Gone(Vec::new());
    let mut shown = Ok(());
    let mut told = |number, letter: &Letter, fate| {
        if shown.is_ok() {
            shown = tell(printer, number, Ok(letter), fate);
        }
    };
    let mut settler = Settler::new(&mut pile, Some(&publisher), rate, broker.patience, &mut told);
    let mut result = Ok(());
    for line in chosen {
        if stop.is_cancelled() || result.is_err() {
            break;
        }
        result = match file.read(line) {
            Ok(letter) => settler.settle(Held { number: line.number, place: line, letter }, Fate::Replay).await,
            Err(failure) => Err(failure),
        };
    }
    if result.is_ok() {
        result = settler.finish().await;
    }
    tally.add(settler.tally());
    match result {
        Ok(()) => publisher.close().await,
        // It may hold what nobody waits for any more.
        Err(_) => publisher.abort(),
    }
    // Also after a failure: what the broker has should not be replayed once more.
    let saved = file.save(&pile.0);
    Ok((tally, saved.and(result).and(shown).err()))
}

/// The lines that are meant and can be settled; a dry run shows them.
fn choose(
    file: &mut DeadFile,
    selection: &Selection,
    act: &Act,
    printer: &mut Printer,
    tally: &mut Tally,
) -> Result<Vec<Line>, Failure> {
    let mut picker = Picker::new(selection);
    let mut chosen = Vec::new();
    file.scan(|line, letter| {
        let is_chosen = match &letter {
            Ok(letter) => picker.picks(line.number, letter),
            Err(_) => picker.picks_unreadable(line.number),
        };
        if !is_chosen {
            return Ok(());
        }
        if act.replay.is_some()
            && let Err(why) = letter.as_ref().map_err(Clone::clone).and_then(Letter::replay)
        {
            tally.refuse(format!("letter {}: {why}", line.number));
            return Ok(());
        }
        chosen.push(line);
        if !act.dry_run {
            return Ok(());
        }
        match act.replay {
            Some(_) => tally.replayed += 1,
            None => tally.dropped += 1,
        }
        let letter = letter.as_ref().map_err(String::as_str);
        printer.show(Shown { number: line.number, letter, action: Some(act.would()) })
    })?;
    Ok(chosen)
}

/// Tells programs what was done.
fn tell(printer: &mut Printer, number: u64, letter: Result<&Letter, &str>, fate: Fate) -> Result<(), Failure> {
    match printer.style() {
        Style::Json { .. } => printer.show(Shown { number, letter, action: Some(fate.done()) }),
        _ => Ok(()),
    }
}
