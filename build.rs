//! Compiles `bpf/` to its objects in `OUT_DIR` where the feature `ebpf` is on, and tells the linker of a release what of
//! the program is used all the time (`build/beat.txt`).
#![expect(clippy::disallowed_methods, reason = "a build script runs clang")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const BEAT: &str = "build/beat.txt";
const NEEDS: &str = "the feature `ebpf` needs clang 14 or newer and the BPF headers: apt-get install clang libbpf-dev \
                     linux-libc-dev (or build with --no-default-features); the environment variable CLANG names another clang";

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=bpf");
    println!("cargo::rerun-if-env-changed=CLANG");
    println!("cargo::rerun-if-changed={BEAT}");
    pack_relocations();
    if let Err(problem) = lay_out() {
        println!("cargo::error={problem}");
        return ExitCode::FAILURE;
    }
    if env::var_os("CARGO_FEATURE_EBPF").is_none() {
        return ExitCode::SUCCESS;
    }
    match compile() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            for line in problem.lines() {
                println!("cargo::error={line}");
            }
            println!("cargo::error={NEEDS}");
            ExitCode::FAILURE
        }
    }
}

/// Addresses that the loader is to fill in are told by the bit (`DT_RELR`), not by 24 bytes each: 0.9 MB less. Linkers before
/// binutils 2.38 pass the option over; what was linked with it runs from glibc 2.36 on.
fn pack_relocations() {
    if env::var("CARGO_CFG_TARGET_ENV").as_deref() == Ok("gnu") {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// Put the functions that run after the start before all others: the kernel maps 64 KB around each page of code that is
/// run, so that scattered they bring nearly the whole program into memory.
fn lay_out() -> Result<(), String> {
    if env::var("PROFILE").as_deref() != Ok("release") {
        return Ok(());
    }
    let list = fs::read_to_string(BEAT).map_err(|error| format!("{BEAT}: {error}"))?;
    let names = list.lines().filter(|line| !line.starts_with('#'));
    let sections =
        names.map(|name| format!("    *(.text.{name} .text.unlikely.{name})\n")).collect::<Vec<_>>().concat();
    let script = format!("SECTIONS {{\n  .text.beat : {{\n{sections}  }}\n}} INSERT BEFORE .text;\n");
    let path = env::var_os("OUT_DIR").map(PathBuf::from).ok_or("cargo gave no OUT_DIR")?.join("beat.ld");
    fs::write(&path, script).map_err(|error| format!("{}: {error}", path.display()))?;
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", path.display());
    Ok(())
}

fn compile() -> Result<(), String> {
    for name in ["vipd", "vipd6", "xdp", "xdp6"] {
        pack(&compile_one(name)?)?;
    }
    compile_one("bench")?;
    compile_one("yardstick")?;
    compile_one("decapsulate")?;
    compile_one("fence").map(drop)
}

/// Deflate an object beside itself: the program carries the large ones so.
fn pack(object: &Path) -> Result<(), String> {
    let bytes = fs::read(object).map_err(|error| format!("{}: {error}", object.display()))?;
    let packed = object.with_extension("o.deflate");
    fs::write(&packed, miniz_oxide::deflate::compress_to_vec(&bytes, 10))
        .map_err(|error| format!("{}: {error}", packed.display()))
}

fn compile_one(name: &str) -> Result<PathBuf, String> {
    let out = env::var_os("OUT_DIR").map(PathBuf::from).ok_or("cargo gave no OUT_DIR")?.join(format!("{name}.bpf.o"));
    let arch = env::var("CARGO_CFG_TARGET_ARCH").map_err(|error| format!("CARGO_CFG_TARGET_ARCH: {error}"))?;
    let clang = env::var_os("CLANG").unwrap_or_else(|| "clang".into());
    let mut command = Command::new(&clang);
    command.args(["-g", "-O2", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-target", "bpfel", "-mcpu=v3"]);
    // Debian keeps asm/types.h in a directory per architecture.
    let headers = format!("/usr/include/{arch}-linux-gnu");
    if Path::new(&headers).is_dir() {
        command.args(["-I", &headers]);
    }
    command.args([&format!("-D__{arch}__"), "-c", &format!("bpf/{name}.bpf.c"), "-o"]).arg(&out);
    let run = command.output().map_err(|error| format!("{}: {error}", clang.display()))?;
    if run.status.success() {
        strip(&out).map(|()| out)
    } else {
        Err(format!("{} ended with {}\n{}", clang.display(), run.status, String::from_utf8_lossy(&run.stderr)))
    }
}

/// Take the DWARF away that `-g` brings beside BTF, a third of the object; without the tool it stays, and harms nothing.
fn strip(object: &Path) -> Result<(), String> {
    match Command::new("llvm-strip").arg("-g").arg(object).output() {
        Ok(run) if run.status.success() => Ok(()),
        Ok(run) => Err(format!("llvm-strip ended with {}\n{}", run.status, String::from_utf8_lossy(&run.stderr))),
        Err(_) => Ok(()),
    }
}
