//! Exports a world of somebody else.

wit_bindgen::generate!({
    inline: "
        package somebody:other@1.0.0;

        interface greeting {
            greet: func() -> string;
        }

        world greeter {
            export greeting;
        }
    ",
});

struct Guest;

impl exports::somebody::other::greeting::Guest for Guest {
    fn greet() -> String {
        "hello".into()
    }
}

export!(Guest);
