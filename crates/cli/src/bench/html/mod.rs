//! Reports as one HTML file that needs nothing else: style and plots are in it, nothing is fetched, no script runs.
//! Light or dark as the reader's system is.
//!
//! INVARIANT: every text that comes from outside is escaped.

mod plot;

use std::fmt::Write as _;

pub(crate) use plot::{Axis, Chart, Series, bars};

const STYLE: &str = "\
:root{--bg:#fff;--fg:#1c2430;--dim:#5b6675;--line:#d6dce4;--card:#f6f8fa;--c0:#1565c0;--c1:#c2570c;--c2:#2e7d32;\
--c3:#8e24aa;--c4:#00838f;--c5:#ad1457;--good:#2e7d32;--bad:#c62828}\
@media(prefers-color-scheme:dark){:root{--bg:#12171e;--fg:#e3e8ee;--dim:#97a3b2;--line:#2d3744;--card:#1a212b;\
--c0:#64b5f6;--c1:#ffb74d;--c2:#81c784;--c3:#ce93d8;--c4:#4dd0e1;--c5:#f48fb1;--good:#81c784;--bad:#ef9a9a}}\
*{box-sizing:border-box}body{margin:0 auto;padding:24px 20px 60px;max-width:1120px;background:var(--bg);color:var(--fg);\
font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}\
h1{font-size:24px;margin:0 0 2px}h2{font-size:17px;margin:34px 0 6px}p{margin:4px 0 10px}.dim{color:var(--dim)}\
.good{color:var(--good);font-weight:600}.bad{color:var(--bad);font-weight:600}\
.tiles{display:flex;flex-wrap:wrap;gap:12px;margin:18px 0}.tile{flex:1 1 150px;background:var(--card);\
border:1px solid var(--line);border-radius:8px;padding:10px 14px}.tile b{display:block;font-size:21px}\
.tile span{color:var(--dim);font-size:13px}\
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:6px 0}\
th,td{padding:4px 14px 4px 0;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}\
th{color:var(--dim);font-weight:600}th:first-child,td:first-child,td.text{text-align:left}td.long{white-space:normal;text-align:left;min-width:220px;width:32%}\
tr.best td{background:var(--card)}tr.best td:not(.long){font-weight:600}\
svg{display:block;width:100%;height:auto;margin:4px 0}svg text{fill:var(--fg);font-size:13px}svg text.dim{fill:var(--dim)}\
svg .grid{stroke:var(--line);stroke-width:1}svg .axis{stroke:var(--dim);stroke-width:1}\
svg .path{fill:none;stroke-width:2.2;stroke-linejoin:round}svg .rest{fill:var(--card)}\
pre{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:12px 14px;overflow-x:auto;font-size:14px}";

/// A page that grows from top to bottom.
#[derive(Debug)]
pub(crate) struct Page(String);

/// A cell of a table.
pub(crate) enum Cell {
    /// Right-aligned.
    Number(String),
    /// Left-aligned, and broken where it is long.
    Text(String),
}

impl Page {
    pub(crate) fn new(title: &str, subtitle: &str) -> Self {
        let (title, subtitle) = (escape(title), escape(subtitle));
        Self(format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
             <meta name=\"color-scheme\" content=\"light dark\"><title>{title}</title><style>{STYLE}</style></head>\n\
             <body><h1>{title}</h1><p class=\"dim\">{subtitle}</p>\n"
        ))
    }

    /// A heading, and a line that says how to read what follows.
    pub(crate) fn section(&mut self, title: &str, note: &str) {
        let _ = writeln!(self.0, "<h2>{}</h2>", escape(title));
        if !note.is_empty() {
            let _ = writeln!(self.0, "<p class=\"dim\">{}</p>", escape(note));
        }
    }

    /// A paragraph; `good` or `bad` colours its first part.
    pub(crate) fn verdict(&mut self, is_good: bool, word: &str, rest: &str) {
        let class = if is_good { "good" } else { "bad" };
        let _ = writeln!(self.0, "<p><span class=\"{class}\">{}</span> {}</p>", escape(word), escape(rest));
    }

    /// The figures that matter most: value and name.
    pub(crate) fn tiles(&mut self, tiles: &[(String, &str)]) {
        self.0.push_str("<div class=\"tiles\">");
        for (value, name) in tiles {
            let _ = write!(self.0, "<div class=\"tile\"><b>{}</b><span>{}</span></div>", escape(value), escape(name));
        }
        self.0.push_str("</div>\n");
    }

    /// A table; the row `best` stands out.
    pub(crate) fn table(&mut self, header: &[&str], rows: &[Vec<Cell>], best: Option<usize>) {
        self.0.push_str("<div class=\"wide\"><table><tr>");
        for title in header {
            let _ = write!(self.0, "<th>{}</th>", escape(title));
        }
        self.0.push_str("</tr>\n");
        for (number, row) in rows.iter().enumerate() {
            self.0.push_str(if best == Some(number) { "<tr class=\"best\">" } else { "<tr>" });
            for cell in row {
                let _ = match cell {
                    Cell::Number(text) => write!(self.0, "<td>{}</td>", escape(text)),
                    Cell::Text(text) if text.len() > 40 => write!(self.0, "<td class=\"long\">{}</td>", escape(text)),
                    Cell::Text(text) => write!(self.0, "<td class=\"text\">{}</td>", escape(text)),
                };
            }
            self.0.push_str("</tr>\n");
        }
        self.0.push_str("</table></div>\n");
    }

    /// A plot.
    pub(crate) fn plot(&mut self, svg: &str) {
        self.0.push_str(svg);
        self.0.push('\n');
    }

    /// Text as it is.
    pub(crate) fn code(&mut self, text: &str) {
        let _ = writeln!(self.0, "<pre>{}</pre>", escape(text));
    }

    /// The finished page.
    pub(crate) fn finish(mut self) -> String {
        self.0.push_str("</body></html>\n");
        self.0
    }
}

/// Text that cannot be taken for markup.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_fetches_nothing_and_runs_nothing() {
        let mut page = Page::new("a", "b");
        page.plot(&bars(&[("x".to_owned(), 0.5, "50 %".to_owned())]));
        page.plot(&Chart { x: Axis::default(), y: Axis::default(), series: vec![] }.svg());
        let html = page.finish();
        for fetch in ["http:", "https:", "src=", "href=", "<script", "@import", "url("] {
            assert!(!html.contains(fetch), "{fetch}");
        }
    }

    #[test]
    fn markup_in_texts_stays_text() {
        let mut page = Page::new("<b>", "a & b");
        page.table(&["<i>"], &[vec![Cell::Text("\"<u>\"".to_owned())]], None);
        let html = page.finish();
        assert!(!html.contains("<b>a") && !html.contains("<i>") && !html.contains("<u>"), "{html}");
        assert!(html.contains("&lt;u&gt;") && html.contains("a &amp; b"));
    }
}
