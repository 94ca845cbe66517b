//! One statement for many rows: a statement a row would spend its time on the way between this task and the database's thread.
//! The statements are the store's own texts; values are bound, never written into them.

/// Rows one statement takes at most: what the inbox writes at once by default.
pub(in crate::store) const CHUNK: usize = 512;

/// The texts of a statement for 1, 2, 4, ... [`CHUNK`] rows, so that each is compiled once per connection. What is left of the
/// rows is bound to nothing, that is to NULL: the statement leaves such rows out.
pub(in crate::store) struct Batched(Vec<String>);

impl Batched {
    /// The statement `text` makes around the rows, each of so many `columns`: `(?,?),(?,?),...`.
    pub(in crate::store) fn new(columns: usize, text: impl Fn(&str) -> String) -> Self {
        let row = format!("({})", vec!["?"; columns].join(","));
        Self((0..=CHUNK.ilog2()).map(|power| text(&vec![row.as_str(); 1 << power].join(","))).collect())
    }

    /// The statement for so many rows, at least 1 and at most [`CHUNK`].
    pub(in crate::store) fn for_rows(&self, rows: usize) -> String {
        self.0[self.rows(rows).ilog2() as usize].clone()
    }

    /// How many rows that statement has.
    pub(in crate::store) fn rows(&self, rows: usize) -> usize {
        rows.next_power_of_two()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_has_room_for_all_rows_and_is_one_of_few() {
        let statements = Batched::new(2, |rows| rows.to_owned());
        for (rows, room) in [(1, 1), (2, 2), (3, 4), (64, 64), (65, 128), (CHUNK, CHUNK)] {
            assert_eq!(statements.for_rows(rows), vec!["(?,?)"; room].join(","), "{rows}");
        }
    }
}
