//! Speaks an interface that this host does not know yet.

wit_bindgen::generate!({
    inline: "
        package stagewire:plugin@0.9.0;

        interface filtering {
            configure: func(settings: string) -> result<_, string>;
        }

        world filter {
            export filtering;
        }
    ",
});

struct Guest;

impl exports::stagewire::plugin::filtering::Guest for Guest {
    fn configure(_: String) -> Result<(), String> {
        Ok(())
    }
}

export!(Guest);
