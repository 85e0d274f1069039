//! #[derive(Greeter)]

use proc_macro::{TokenStream, TokenTree};

#[proc_macro_derive(Greeter)]
pub fn greeter(input: TokenStream) -> TokenStream {
    let mut tokens = input.into_iter();
    tokens.find(|token| token.to_string() == "struct");
    let name = match tokens.next() {
        Some(TokenTree::Ident(name)) => name.to_string(),
        _ => panic!("only structs greet"),
    };
    let code = "impl NAME { pub fn greeting(&self) -> &'static str { \"Hello, NAME!\" } }";
    code.replace("NAME", &name).parse().unwrap()
}
