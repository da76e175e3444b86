//! Prints what its build script saw.
mod seen {
    include!(concat!(env!("OUT_DIR"), "/seen.rs"));
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("environment") => println!("{}", seen::ENVIRONMENT),
        Some("network") => println!("{}", seen::NETWORK),
        Some("home") => println!("{}", itoa::Buffer::new().format(seen::HOME)),
        Some("fail") => seen::fail(),
        Some(other) => anyhow::bail!("what is {other}?"),
        None => println!("{}", include_str!("greeting.txt").trim()),
    }
    Ok(())
}
