//! `sqlx::migrate!` embeds the files it finds; only this makes a new file a reason to build again.

fn main() {
    println!("cargo:rerun-if-changed=../migrations/worker");
}
