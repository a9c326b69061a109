//! Plain tables: a line of headings, columns two spaces apart, numbers to the right.

use unicode_width::UnicodeWidthStr as _;

use crate::lists::printable;

/// A table that is being filled.
pub(super) struct Table {
    headings: Vec<&'static str>,
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

/// Longest cell that is shown, in characters.
const LONGEST: usize = 250;
/// Cells of a column of words below which it says nothing.
const WORTH: usize = 20;

impl Table {
    /// Columns by heading; one that begins with `>` is set to the right.
    pub(super) fn new(headings: &[&'static str]) -> Self {
        Self {
            headings: headings.iter().map(|heading| heading.trim_start_matches('>')).collect(),
            right: headings.iter().map(|heading| heading.starts_with('>')).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        // What an operator or a file wrote is shown as it is, not obeyed by the terminal.
        self.rows.push(cells.into_iter().map(|cell| printable(&cell, LONGEST)).collect());
    }

    /// The text, no wider than `width` cells: the last column is cut, or left out where next to nothing of it would be left.
    pub(super) fn show_within(mut self, width: Option<usize>) -> String {
        let Some((last, width)) = self.headings.len().checked_sub(1).zip(width) else { return self.show() };
        let before: usize = self.widths()[..last].iter().map(|width| width + 2).sum();
        let room = width.saturating_sub(before);
        if room < WORTH {
            self.headings.pop();
            self.rows.iter_mut().for_each(|row| row.truncate(last));
            return self.show();
        }
        for cell in self.rows.iter_mut().filter_map(|row| row.get_mut(last)) {
            if cell.width() > room {
                while cell.width() >= room {
                    cell.pop();
                }
                cell.push('…');
            }
        }
        self.show()
    }

    /// The text.
    pub(super) fn show(&self) -> String {
        let widths = self.widths();
        let headings: Vec<String> = self.headings.iter().map(|heading| (*heading).to_owned()).collect();
        std::iter::once(&headings).chain(&self.rows).map(|row| self.line(row, &widths)).collect()
    }

    fn widths(&self) -> Vec<usize> {
        (0..self.headings.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width());
                cells.chain([self.headings[column].width()]).max().unwrap_or(0)
            })
            .collect()
    }

    fn line(&self, row: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let padding = " ".repeat(widths[column].saturating_sub(cell.width()));
            if column > 0 {
                line.push_str("  ");
            }
            if self.right[column] {
                line.push_str(&padding);
                line.push_str(cell);
            } else {
                line.push_str(cell);
                line.push_str(&padding);
            }
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn the_last_column_gives_way() {
        let shown = |width| {
            let mut table = Table::new(&["NAME", "MEANING"]);
            table.row(["name".to_owned(), "what it means, in many words".to_owned()]);
            table.show_within(width)
        };
        assert_eq!(shown(None), "NAME  MEANING\nname  what it means, in many words\n");
        assert_eq!(shown(Some(26)), "NAME  MEANING\nname  what it means, in m…\n");
        assert_eq!(shown(Some(25)), "NAME\nname\n");
    }

    #[test]
    fn columns_line_up_and_escapes_stay_harmless() {
        let mut table = Table::new(&["NAME", ">COUNT"]);
        table.row(["a".to_owned(), "1".to_owned()]);
        table.row(["漢\u{1b}".to_owned(), "1234567".to_owned()]);
        assert_eq!(table.show(), "NAME        COUNT\na               1\n漢\\u{1b}  1234567\n");
    }
}
