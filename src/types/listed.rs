use std::fmt::{Display, Write};

/// The first `most` of some things and how many more there are, as a sentence has them: `a, b and 3 more`. Empty where there is none.
pub(crate) fn listed<T: Display>(things: impl IntoIterator<Item = T>, most: usize) -> String {
    let (mut text, mut count) = (String::new(), 0);
    for thing in things {
        let comma = if count == 0 { "" } else { ", " };
        if count < most {
            let _ = write!(text, "{comma}{thing}");
        }
        count += 1;
    }
    if count > most {
        let _ = write!(text, " and {} more", count - most);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::listed;

    #[test]
    fn a_list_names_the_first_and_counts_the_rest() {
        assert_eq!(listed(["a", "b", "c"], 3), "a, b, c");
        assert_eq!(listed(["a", "b", "c", "d"], 2), "a, b and 2 more");
        assert_eq!(listed(Vec::<String>::new(), 2), "");
    }
}
