//! `completions` and `man`: what a package installs beside the program, made from the commands
//! themselves.

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Failure;

/// Print the completions for a shell.
///
/// For bash, in one's own home: `tunemantra-worker completions bash >
/// ~/.local/share/bash-completion/completions/tunemantra-worker`.
#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    /// The shell.
    shell: Shell,
}

/// Write the manual pages, one for each command, into a directory.
#[derive(Debug, clap::Args)]
pub(super) struct Man {
    /// Where to; it must be there.
    directory: PathBuf,
}

pub(super) fn completions(arguments: &Completions) -> anyhow::Result<ExitCode> {
    let mut command = super::Arguments::command();
    let name = command.get_name().to_owned();
    // Generated whole first: a reader that has gone is then an error and not a panic.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, name, &mut script);
    std::io::stdout().lock().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn man(arguments: &Man) -> anyhow::Result<ExitCode> {
    let directory = &arguments.directory;
    if !directory.is_dir() {
        return Err(
            Failure::missing(format!("there is no directory {}", directory.display())).into(),
        );
    }
    clap_mangen::generate_to(super::Arguments::command(), directory)
        .with_context(|| format!("manual pages in {}", directory.display()))?;
    Ok(ExitCode::SUCCESS)
}
