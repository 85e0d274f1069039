//! Greets.

fn main() {
    println!("{}", greeting::text());
}
