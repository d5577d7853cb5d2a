//! Colours for people: only on a terminal, and not where `NO_COLOR` is set.

use std::io::IsTerminal;

use anstyle::{AnsiColor, Style};

/// Paints text for one output, or leaves it as it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// For standard error.
    pub(crate) fn stderr() -> Self {
        Self::on_terminal(std::io::stderr().is_terminal())
    }

    /// For standard output.
    pub(crate) fn stdout() -> Self {
        Self::on_terminal(std::io::stdout().is_terminal())
    }

    fn on_terminal(is_terminal: bool) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { on: is_terminal && !no_color && !dumb }
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.with(AnsiColor::Green.on_default().bold(), text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.with(AnsiColor::Red.on_default().bold(), text)
    }

    pub(crate) fn strong(self, text: &str) -> String {
        self.with(Style::new().bold(), text)
    }

    pub(crate) fn faint(self, text: &str) -> String {
        self.with(Style::new().dimmed(), text)
    }

    fn with(self, style: Style, text: &str) -> String {
        if self.on { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}
