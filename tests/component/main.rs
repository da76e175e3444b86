//! What the programs of the components know, by bytes; and the programs themselves against real servers.
#![expect(unreachable_pub, reason = "the programs' modules are read as parts of the programs")]

#[expect(dead_code, reason = "the program's own main is not run here")]
#[path = "../../src/component/probe/main.rs"]
mod probe;

mod init;
