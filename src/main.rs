//! The command line of image-config-agent.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Where nobody reads any more there is nobody to tell.
            let _ = error.print();
            return if error.use_stderr() { cli::Exit::Usage } else { cli::Exit::Yes }.into();
        }
    };
    cli.run().into()
}
