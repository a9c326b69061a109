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

    /// The text.
    pub(super) fn show(&self) -> String {
        let widths: Vec<usize> = (0..self.headings.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width());
                cells.chain([self.headings[column].width()]).max().unwrap_or(0)
            })
            .collect();
        let headings: Vec<String> = self.headings.iter().map(|heading| (*heading).to_owned()).collect();
        std::iter::once(&headings).chain(&self.rows).map(|row| self.line(row, &widths)).collect()
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
    fn columns_line_up_and_escapes_stay_harmless() {
        let mut table = Table::new(&["NAME", ">COUNT"]);
        table.row(["a".to_owned(), "1".to_owned()]);
        table.row(["漢\u{1b}".to_owned(), "1234567".to_owned()]);
        assert_eq!(table.show(), "NAME        COUNT\na               1\n漢\\u{1b}  1234567\n");
    }
}
