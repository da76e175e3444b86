//! Says what a build script can see and reach; the program prints it.
use std::net::{TcpListener, TcpStream, UdpSocket};

fn main() {
    let mut names: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
    names.sort();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let loopback = TcpStream::connect(listener.local_addr().unwrap()).is_ok();
    // No packet is sent: asks the kernel whether there is a way out.
    let route = UdpSocket::bind("0.0.0.0:0").is_ok_and(|socket| socket.connect("192.0.2.1:9").is_ok());
    let home = std::fs::read_dir(std::env::var("HOME").unwrap()).unwrap().count();
    let text = format!(
        "pub const ENVIRONMENT: &str = {:?};\npub const NETWORK: bool = {};\npub const HOME: usize = {home};\n\
         pub fn fail() -> ! {{ panic!(\"generated\") }}\n",
        names.join(" "),
        loopback || route,
    );
    std::fs::write(std::path::Path::new(&std::env::var("OUT_DIR").unwrap()).join("seen.rs"), text).unwrap();
    println!("cargo::rerun-if-changed=build.rs");
}
