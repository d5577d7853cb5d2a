//! `tidemill dead`: looks at dead letters, replays and drops them, where they lie in a topic or in a file.
//!
//! ```text
//!  args ── select ──┐
//!                   ├── queue (inbox, line, packets) ────┐
//!       letter ─────┤                                    ├── settle ── broker
//!                   └── filed (file, ndjson) ────────────┘
//!                              show: tables and JSON
//! ```

mod args;
mod file;
mod filed;
mod inbox;
mod letter;
mod line;
mod ndjson;
mod packets;
mod queue;
mod select;
mod settle;
mod show;
mod table;
mod tally;

use std::path::Path;

use tidemill::shutdown_signal;
use tidemill::topic::TopicFilter;
use tokio_util::sync::CancellationToken;

pub(crate) use args::DeadArgs;

use args::{ActArgs, Broker, DeadCommand, LookArgs, SelectArgs, SourceArgs};
use select::Selection;
use show::{Printer, Style, say};
use tally::Tally;

use crate::exit::{Failure, Outcome};

/// What to do with the chosen letters.
#[derive(Clone, Copy, Debug)]
struct Act {
    /// Letters per second, 0 for no limit; `None` drops them.
    replay: Option<u32>,
    dry_run: bool,
    through: bool,
}

impl Act {
    fn would(&self) -> &'static str {
        if self.replay.is_some() { "would be replayed" } else { "would be dropped" }
    }
}

/// Runs a command.
///
/// # Errors
/// Wrong arguments, or what went wrong.
pub(crate) fn run(args: &DeadArgs) -> Result<Outcome, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::Run(format!("no threads to run on: {error}")))?;
    runtime.block_on(async {
        match &args.command {
            DeadCommand::Subscribe(args) => {
                TopicFilter::new(&args.topic).map_err(|error| Failure::Usage(format!("--topic: {error}")))?;
                queue::subscribe(&args.broker.checked()?, &args.topic).await?;
                Ok(Outcome::Good)
            }
            DeadCommand::Unsubscribe(args) => {
                queue::unsubscribe(&args.broker.checked()?, args.force).await?;
                Ok(Outcome::Good)
            }
            DeadCommand::List(args) => look(args, Style::Table).await,
            DeadCommand::Show(args) => look(args, Style::Whole).await,
            DeadCommand::Replay(args) => change(&args.select, &args.act, Some(args.rate), &args.source).await,
            DeadCommand::Drop(args) => change(&args.select, &args.act, None, &args.source).await,
        }
    })
}

async fn look(args: &LookArgs, style: Style) -> Result<Outcome, Failure> {
    let selection = args.select.checked()?;
    let style = if args.json { Style::Json { whole: style == Style::Whole } } else { style };
    if matches!(style, Style::Whole | Style::Json { whole: true }) && selection.is_open() {
        return Err(Failure::Usage("say which letters: numbers or IDs as `tidemill dead list` shows them".to_owned()));
    }
    let mut printer = Printer::new(style);
    match one_source(&args.source)? {
        Source::Topic(broker) => queue::look(&broker, &selection, &mut printer).await?,
        Source::File(path) => filed::look(path, &selection, &mut printer)?,
    }
    if style != Style::Table && !args.json && printer.shown() == 0 {
        return Err(Failure::Run("there is no such letter; `tidemill dead list` shows what there is".to_owned()));
    }
    Ok(Outcome::Good)
}

enum Source<'a> {
    Topic(Box<Broker>),
    File(&'a Path),
}

/// For commands that publish nothing: where to look is one of the two.
fn one_source(source: &SourceArgs) -> Result<Source<'_>, Failure> {
    match &source.file {
        Some(_) if source.broker.is_given() => {
            Err(Failure::Usage("--broker and --file exclude each other here: letters lie in one of the two".to_owned()))
        }
        Some(path) => Ok(Source::File(path)),
        None if source.broker.is_given() => Ok(Source::Topic(Box::new(source.broker.checked()?))),
        None => Err(args::no_source()),
    }
}

async fn change(
    select: &SelectArgs,
    args: &ActArgs,
    replay: Option<u32>,
    source: &SourceArgs,
) -> Result<Outcome, Failure> {
    let selection = select.checked_for(args)?;
    let act = Act { replay, dry_run: args.dry_run, through: args.through };
    let mut printer = Printer::new(if args.json { Style::Json { whole: false } } else { Style::Table });
    let stop = CancellationToken::new();
    let work = settled(&selection, &act, source, &mut printer, &stop);
    let (tally, failure) = tokio::select! {
        result = work => result?,
        () = asked_twice(&stop) => {
            let text = "stopped at once: nothing is lost, but what was replayed just now may still be among the dead letters";
            return Err(Failure::Run(text.to_owned()));
        }
    };
    printer.finish()?;
    say(&tally.told(&act, stop.is_cancelled()));
    match failure {
        Some(failure) => Err(failure),
        None if tally.refused > 0 => Ok(Outcome::Bad),
        None => Ok(Outcome::Good),
    }
}

async fn settled(
    selection: &Selection,
    act: &Act,
    source: &SourceArgs,
    printer: &mut Printer,
    stop: &CancellationToken,
) -> Result<(Tally, Option<Failure>), Failure> {
    match (&source.file, act.replay) {
        (Some(path), Some(_)) => {
            let broker = (!act.dry_run || source.broker.is_given()).then(|| source.broker.checked()).transpose()?;
            filed::act(path, broker.as_ref(), selection, act, printer, stop).await
        }
        _ => match one_source(source)? {
            Source::Topic(broker) => queue::act(&broker, selection, act, printer, stop).await,
            Source::File(path) => filed::act(path, None, selection, act, printer, stop).await,
        },
    }
}

/// Cancels the token at the first signal: what was begun is finished then. Ready at the second one: whoever asks twice
/// does not want to wait.
async fn asked_twice(stop: &CancellationToken) {
    shutdown_signal().await;
    stop.cancel();
    shutdown_signal().await;
}
