use serde_json::json;

use super::*;

fn row() -> PlatformRow {
    PlatformRow {
        id: 7,
        name: "Nordlys".into(),
        api_endpoint: Some("sftp://127.0.0.1:2222/incoming".into()),
        delivery_method: "SFTP".into(),
        ..PlatformRow::default()
    }
}

#[test]
fn null_columns_mean_the_defaults() {
    let platform = Platform::from_row(&row()).unwrap();
    assert_eq!(platform.method, Method::Sftp);
    assert_eq!(platform.requirements.artwork.min_px, 3000);
    assert_eq!(platform.format_specs.audio, ["flac", "wav"]);
    assert!(platform.supported_content.is_empty());
}

#[test]
fn a_platform_has_clocks_of_its_own() {
    let specs = json!({"retry": {"base_s": 5, "notify_after_s": 600}});
    let row = PlatformRow {
        format_specs: Some(specs),
        ..row()
    };
    let retry = Platform::from_row(&row).unwrap().format_specs.retry;
    assert_eq!(
        retry,
        RetrySpecs {
            base_s: Some(5),
            notify_after_s: Some(600),
            ..RetrySpecs::default()
        }
    );
}

#[test]
fn a_wrong_setting_names_platform_and_column() {
    let message = |row: PlatformRow| Platform::from_row(&row).unwrap_err().message;
    assert_eq!(
        message(PlatformRow {
            delivery_method: "carrier pigeon".into(),
            ..row()
        }),
        "delivery_method of platform 7 (\"Nordlys\"): \"carrier pigeon\" is not one of api, sftp, ddex"
    );
    assert_eq!(
        message(PlatformRow {
            format_specs: Some(json!([1])),
            ..row()
        }),
        "format_specs of platform 7 (\"Nordlys\"): format_specs is not a JSON object"
    );
    assert!(
        message(PlatformRow {
            requirements: Some(json!({"artwork": {"min_px": "big"}})),
            ..row()
        })
        .contains("invalid type: string \"big\"")
    );
    assert!(
        message(PlatformRow {
            delivery_method: "ddex".into(),
            ..row()
        })
        .contains("ddex is missing")
    );
    assert!(
        message(PlatformRow {
            api_endpoint: Some("sftp://u:secret@host/".into()),
            ..row()
        })
        .ends_with("must not hold a password; put it into api_credentials")
    );
}

#[test]
fn limits_are_read_and_a_wrong_one_names_its_path() {
    let limits = |limits: serde_json::Value| {
        Platform::from_row(&PlatformRow {
            format_specs: Some(json!({"limits": limits})),
            ..row()
        })
        .map(|platform| platform.format_specs.limits)
        .map_err(|fault| (fault.code, fault.message))
    };
    let read = limits(json!({"per_hour": 600, "windows": [{"from": "22:00", "to": "06:00", "zone": "Europe/Berlin"}]})).unwrap();
    assert_eq!(read.per_hour.map(u32::from), Some(600));
    assert_eq!(read.concurrency, None);
    assert_eq!(
        read.windows.unwrap().to_string(),
        "22:00-06:00 Europe/Berlin"
    );
    for (value, path) in [
        (json!({"per_second": 0}), "format_specs.limits.per_second: "),
        (json!({"per_day": "many"}), "format_specs.limits.per_day: "),
        (
            json!({"windows": [{"from": "22:00", "to": "06:00", "zone": "Berlin"}]}),
            "format_specs.limits.windows[0]: zone \"Berlin\"",
        ),
        (
            json!({"windows": [{"from": "22:00"}]}),
            "format_specs.limits.windows[0]: ",
        ),
    ] {
        let (code, message) = limits(value).unwrap_err();
        assert_eq!(code, Code::SettingsInvalid);
        assert!(message.contains(path), "{message}");
    }
}

#[test]
fn processing_time_is_its_upper_bound() {
    assert_eq!(processing_time("48 hours"), Duration::try_hours(48));
    assert_eq!(processing_time("2-5 days"), Duration::try_days(5));
    assert_eq!(processing_time("soon"), None);
}

#[test]
fn names_of_files_tell_the_tracks_apart_and_stay_in_their_folder() {
    let read = |names: serde_json::Value| {
        Platform::from_row(&PlatformRow {
            format_specs: Some(json!({"file_names": names})),
            ..row()
        })
        .map(|platform| platform.format_specs.file_names)
        .map_err(|fault| fault.message)
    };
    let (upc, isrc) = (
        "036000291452".parse().unwrap(),
        "DEA1B2500101".parse().unwrap(),
    );
    let default = read(json!({})).unwrap();
    assert_eq!(default.audio(&upc, &isrc, 2, 7), "036000291452_02_007");
    assert_eq!(default.artwork(&upc), "036000291452");
    let own = read(json!({"audio": "{isrc}", "artwork": "{icpn}.front"})).unwrap();
    assert_eq!(own.audio(&upc, &isrc, 2, 7), "DEA1B2500101");
    assert_eq!(own.artwork(&upc), "0036000291452.front");
    for (wrong, said) in [
        (json!({"audio": "{upc}_{track}"}), "no two tracks"),
        (json!({"audio": "../{isrc}"}), "is not made of"),
        (json!({"audio": "a/{isrc}"}), "is not made of"),
        (json!({"audio": "{isrc}_{title}"}), "{title} is not known"),
        (json!({"artwork": "{isrc}"}), "{isrc} is not known"),
        (json!({"artwork": ""}), "artwork"),
    ] {
        let problem = read(wrong.clone()).unwrap_err();
        assert!(problem.contains(said), "{wrong}: {problem}");
    }
}
