//! Genres in a partner's words.

use std::collections::BTreeMap;

use crate::settings::GenreWords;

/// Genre and sub-genre in a partner's words: by both, else by the genre alone, else our own.
/// `None` where there is no genre.
pub(super) fn of(
    genre: Option<&str>,
    sub_genre: Option<&str>,
    words: &BTreeMap<String, GenreWords>,
) -> Option<GenreWords> {
    let present = |text: Option<&str>| {
        text.map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
    };
    let genre = present(genre)?;
    let sub_genre = present(sub_genre);
    let find = |key: &str| {
        words
            .iter()
            .find(|(known, _)| known.trim().to_lowercase() == key.to_lowercase())
            .map(|(_, theirs)| theirs.clone())
    };
    let by_both = sub_genre
        .as_ref()
        .and_then(|sub_genre| find(&format!("{genre}/{sub_genre}")));
    let by_genre = || {
        find(&genre).map(|theirs| GenreWords {
            sub_genre: theirs.sub_genre.or_else(|| sub_genre.clone()),
            ..theirs
        })
    };
    let theirs = by_both.or_else(by_genre);
    Some(theirs.unwrap_or(GenreWords { genre, sub_genre }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn genres_go_by_the_partners_words() {
        let theirs = |genre: &str, sub_genre: Option<&str>| GenreWords {
            genre: genre.into(),
            sub_genre: sub_genre.map(str::to_owned),
        };
        let words = BTreeMap::from([
            (
                "Electronic/techno".to_owned(),
                theirs("Dance", Some("Techno & House")),
            ),
            ("electronic".to_owned(), theirs("Dance", None)),
        ]);
        let said = |genre, sub| super::of(Some(genre), sub, &words);
        assert_eq!(
            said("electronic", Some("Techno")),
            Some(theirs("Dance", Some("Techno & House")))
        );
        assert_eq!(
            said("Electronic", Some("Dub")),
            Some(theirs("Dance", Some("Dub")))
        );
        assert_eq!(said("Jazz ", None), Some(theirs("Jazz", None)));
        assert_eq!(super::of(Some(" "), None, &words), None);
    }
}
