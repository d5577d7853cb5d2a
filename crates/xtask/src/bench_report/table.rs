//! Tables in Markdown: written from rows, and read from what a program printed. Pure.

/// What stands in a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// A paragraph, or a table that a program printed.
    Text(String),
    /// A table of ours; see [`text`].
    Table(Table),
}

/// Rows below a header, each as long as it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) header: Vec<&'static str>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    fn text(&self) -> String {
        let columns = self.header.len();
        let width = |at: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
            cells.chain([self.header.get(at).map_or(0, |cell| cell.chars().count())]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |cells: &[&str]| {
            let cells = cells.iter().zip(&widths).map(|(cell, width)| format!(" {cell:<width$} |"));
            format!("|{}\n", cells.collect::<String>())
        };
        let mut text = line(&self.header);
        text.push_str(&format!(
            "|{}\n",
            widths.iter().map(|width| format!("{}|", "-".repeat(width + 2))).collect::<String>()
        ));
        for row in &self.rows {
            text.push_str(&line(&row.iter().map(String::as_str).collect::<Vec<_>>()));
        }
        text
    }
}

/// All blocks, an empty line between two. Tables that follow each other with the same header become one.
pub(super) fn text(blocks: &[Block]) -> String {
    let mut joined: Vec<Block> = Vec::new();
    for block in blocks {
        match (joined.last_mut(), block) {
            (Some(Block::Table(last)), Block::Table(table)) if last.header == table.header => {
                last.rows.extend(table.rows.iter().cloned());
            }
            _ => joined.push(block.clone()),
        }
    }
    let texts = joined.iter().map(|block| match block {
        Block::Text(text) => text.trim().to_owned(),
        Block::Table(table) => table.text().trim_end().to_owned(),
    });
    texts.collect::<Vec<_>>().join("\n\n")
}

/// What a program printed, as blocks of Markdown: tables apart from the lines around them, without its verdict.
pub(super) fn as_printed(printed: &str) -> Vec<Block> {
    let mut blocks: Vec<(bool, String)> = Vec::new();
    let mut apart = true;
    for line in printed.lines().map(str::trim_end) {
        if line.is_empty() || line == "OK" {
            apart = true;
            continue;
        }
        let is_table = line.starts_with('|');
        match blocks.last_mut() {
            Some((was_table, text)) if !apart && *was_table == is_table => {
                text.push('\n');
                text.push_str(line);
            }
            _ => blocks.push((is_table, line.to_owned())),
        }
        apart = false;
    }
    blocks.into_iter().map(|(_, text)| Block::Text(text)).collect()
}

/// The cells of the first table in a text, by column and by the first cell of its row.
#[derive(Clone, Debug)]
pub(super) struct Cells<'t>(Vec<Vec<&'t str>>);

impl<'t> Cells<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        let table = text.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
        let cells = |line: &'t str| line.trim_matches('|').split('|').map(str::trim).collect();
        Self(table.map(cells).collect())
    }

    pub(super) fn get(&self, row: &str, column: &str) -> Option<&'t str> {
        let at = self.0.first()?.iter().position(|cell| *cell == column)?;
        self.0.iter().find(|cells| cells.first() == Some(&row))?.get(at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[[&str; 2]]) -> Block {
        let rows = rows.iter().map(|row| row.map(str::to_owned).to_vec()).collect();
        Block::Table(Table { header: vec!["broker", "events/s"], rows })
    }

    #[test]
    fn tables_of_one_header_become_one() {
        let blocks = [table(&[["embedded", "7"]]), table(&[["Mosquitto", "12"]]), Block::Text("Notes.\n".to_owned())];
        let expected = "\
| broker    | events/s |
|-----------|----------|
| embedded  | 7        |
| Mosquitto | 12       |

Notes.";
        assert_eq!(text(&blocks), expected);
    }

    #[test]
    fn what_was_printed_has_an_empty_line_before_and_behind_each_table() {
        let printed = "raw feed\n| a | b |\n|---|---|\n| 1 | 2 |\nMosquitto, one\nof three\n\nOK\n";
        let expected = "raw feed\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nMosquitto, one\nof three";
        assert_eq!(text(&as_printed(printed)), expected);
    }

    #[test]
    fn cells_are_found_by_row_and_column() {
        let printed = "x\n| client | CPU us |\n|--------|--------|\n| floor  |  0.07 |\n";
        let cells = Cells::of(printed);
        assert_eq!(cells.get("floor", "CPU us"), Some("0.07"));
        assert_eq!((cells.get("floor", "RSS"), cells.get("roof", "CPU us")), (None, None));
    }
}
