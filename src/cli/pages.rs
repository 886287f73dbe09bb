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
    crate::cli::out().write_all(&script)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Every command with those above it, as a shell has them: `tunemantra-worker`, `deliveries`, `list`.
    fn commands(command: &clap::Command, above: &[String], found: &mut Vec<Vec<String>>) {
        let mut path = above.to_vec();
        path.push(command.get_name().to_owned());
        assert!(
            command.get_about().is_some(),
            "{path:?} says nothing of itself"
        );
        for below in command.get_subcommands() {
            commands(below, &path, found);
        }
        found.push(path);
    }

    #[test]
    fn every_command_has_its_manual_page_and_is_completed() {
        let mut found = Vec::new();
        commands(&super::super::Arguments::command(), &[], &mut found);
        assert!(found.len() > 60, "{}", found.len());
        let directory = tempfile::tempdir().unwrap();
        man(&Man {
            directory: directory.path().to_owned(),
        })
        .unwrap();
        for path in &found {
            let page = directory.path().join(format!("{}.1", path.join("-")));
            assert!(page.exists(), "{}", page.display());
        }
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            let mut command = super::super::Arguments::command();
            clap_complete::generate(shell, &mut command, "tunemantra-worker", &mut script);
            let script = String::from_utf8(script).unwrap();
            for path in &found {
                let name = path.last().unwrap();
                assert!(
                    script.contains(name.as_str()),
                    "{shell} does not know {path:?}"
                );
            }
        }
    }
}
