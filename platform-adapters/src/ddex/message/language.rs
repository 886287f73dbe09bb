//! Languages and scripts of texts.

/// Languages that are as a rule not written in Latin letters.
const NOT_LATIN: &[&str] = &[
    "ar", "be", "bg", "bn", "el", "fa", "gu", "he", "hi", "hy", "ja", "ka", "kk", "kn", "ko", "ml",
    "mr", "ne", "pa", "ru", "si", "sr", "ta", "te", "th", "uk", "ur", "yue", "zh",
];

/// The code, if it can be written as a language tag.
pub(super) fn language_tag(code: &str) -> Option<&str> {
    let code = code.trim();
    let good = (2..=3).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphabetic());
    good.then_some(code)
}

/// `LanguageAndScriptCode` of a text in this language: with the script where Latin letters are not
/// its own. `None` for no language, for music without words, whose title may be in any, and for a
/// text in letters that are not the language's.
pub(super) fn language_and_script(code: &str, text: &str) -> Option<String> {
    let language = language_tag(code).filter(|tag| *tag != "zxx")?;
    let is_latin = |c: char| matches!(c, '\0'..='\u{24f}' | '\u{1e00}'..='\u{1eff}');
    let letters = || text.chars().filter(|c| c.is_alphabetic());
    let has_latin = letters().any(is_latin);
    let has_others = letters().any(|c| !is_latin(c));
    match NOT_LATIN.contains(&language) {
        true if has_latin && !has_others => Some(format!("{language}-Latn")),
        false if has_others && !has_latin => None,
        _ => Some(language.to_owned()),
    }
}

/// Whether a language tag is among those of two letters that ERN 3.8.2 lists.
pub(super) fn is_ern3_language(tag: &str) -> bool {
    tag.len() == 2 && ERN3_LANGUAGES.split(' ').any(|known| known == tag)
}

/// `IsoLanguageCode`: ISO 639-1.
const ERN3_LANGUAGES: &str = "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca \
     ce ch co cr cs cu cv cy da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu \
     gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko \
     kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mo mr ms mt my na nb nd ne ng \
     nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm \
     sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa \
     wo xh yi yo za zh zu";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn romanised_titles_say_so() {
        let said = |code, text| language_and_script(code, text);
        assert_eq!(said("ja", "Yume no Hajimari").as_deref(), Some("ja-Latn"));
        assert_eq!(said("ja", "夢 Remix").as_deref(), Some("ja"));
        assert_eq!(said("de", "Über").as_deref(), Some("de"));
        assert_eq!(said("ja", "1999").as_deref(), Some("ja"));
        assert_eq!(said("zxx", "Waves"), None);
        assert_eq!(said("en", "夢"), None);
    }
}
