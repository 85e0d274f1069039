//! What the example says.

use greeter::Greeter;
use std::ffi::CString;
use std::os::raw::{c_char, c_int};

extern "C" {
    fn examples_letters(text: *const c_char) -> c_int;
}

/// How many letters a text has: counted in C.
pub fn letters(text: &str) -> i32 {
    let text = CString::new(text).unwrap();
    unsafe { examples_letters(text.as_ptr()) }
}

/// Its greeting is written by a macro, which runs in the compiler.
#[derive(Greeter)]
pub struct LocalRemoteExecution;

pub fn text() -> String {
    format!("{} ({} letters)", LocalRemoteExecution.greeting(), letters("LocalRemoteExecution"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn counts_in_c() {
        assert_eq!(super::letters("a b c 1 2"), 3);
    }

    #[test]
    fn is_greeted_by_the_macro() {
        assert!(super::text().starts_with("Hello, LocalRemoteExecution!"));
    }

    #[test]
    #[should_panic]
    fn catches_panics() {
        super::letters("\0");
    }
}
