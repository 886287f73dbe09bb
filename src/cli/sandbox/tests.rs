use platform_adapters::sandbox::Misbehaviour;

use super::misbehave::{Way, Wish};

#[test]
fn every_misbehaviour_has_a_name() {
    for line in super::AFTER_HELP
        .lines()
        .filter(|line| line.starts_with("  "))
    {
        let word = line.split_whitespace().next().unwrap();
        if word == "tunemantra-worker" || word == "psql" {
            continue;
        }
        let name = word.split(['[', '=', ',']).next().unwrap();
        let wish = [name.to_owned(), format!("{name}=3")]
            .iter()
            .find_map(|text| text.parse::<Wish>().ok())
            .unwrap_or_else(|| panic!("{name} is in the help and cannot be asked for"));
        let partners = match (wish.suits(Way::Http), wish.suits(Way::Sftp)) {
            (true, true) => "all partners",
            (true, false) => "HTTP partner",
            _ => "SFTP partners",
        };
        assert!(line.ends_with(partners), "{line}");
    }
}

#[test]
fn times_and_values_are_read() {
    let wish: Wish = "3:refuse=no: cover = art".parse().unwrap();
    let reason = "no: cover = art".to_owned();
    assert_eq!(
        (wish.times, wish.what),
        (3, Misbehaviour::Refuse { reason })
    );
    for (text, complaint) in [
        ("sulk", "there is no \"sulk\""),
        ("0:garbage", "number of times"),
        ("many:garbage", "number of times"),
        ("refuse", "needs a reason"),
        ("garbage=1", "takes no value"),
        ("slow=long", "\"long\" is no number of seconds"),
    ] {
        let error = text.parse::<Wish>().unwrap_err();
        assert!(error.contains(complaint), "{error}");
    }
}
