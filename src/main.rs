//! The `vipd` binary: hands its arguments to [`vipd::cli`]; everything else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    vipd::cli::main()
}
