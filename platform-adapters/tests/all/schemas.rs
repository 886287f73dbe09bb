//! The published JSON Schemas are those of the code.

use std::fs;

use platform_adapters::settings;

/// A schema that is not current is written anew, and the test fails once: look at it and commit it.
#[test]
fn the_published_schemas_are_those_of_the_code() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/platforms/schemas");
    let mut renewed = Vec::new();
    for (column, schema) in [
        ("api_credentials", settings::schema_of_credentials()),
        ("requirements", settings::schema_of_requirements()),
        ("format_specs", settings::schema_of_format_specs()),
    ] {
        let path = format!("{directory}/{column}.json");
        let current = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if fs::read_to_string(&path).ok().as_ref() != Some(&current) {
            fs::create_dir_all(directory).unwrap();
            fs::write(&path, current).unwrap();
            renewed.push(path);
        }
    }
    assert!(renewed.is_empty(), "written anew: {renewed:?}");
}
