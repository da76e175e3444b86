/// Declares an enumeration of words, and the words that a later version brings.
macro_rules! words {
    (
        $(#[doc = $doc:literal])*
        enum $name:ident { $( $word:literal => $variant:ident, )* }
        $( later { $( $later_word:literal => $later_doc:literal, )* } )?
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(in crate::spec) enum $name { $( #[doc = $word] $variant, )* }

        impl $crate::spec::shape::FromText for $name {
            fn from_text(
                text: &str,
                _: &$crate::spec::shape::Origin<'_>,
            ) -> Result<Self, $crate::spec::shape::Wrong> {
                match text {
                    $( $word => Ok(Self::$variant), )*
                    $( $( $later_word => Err($crate::spec::shape::Wrong::new(concat!(
                        "`", $later_word, "` (", $later_doc, ") is not in this version of imgpack yet",
                    ))), )* )?
                    _ => {
                        let known = [$( $word, )*];
                        let hint = $crate::spec::problem::did_you_mean(text, known)
                            .unwrap_or_else(|| format!("known are {}", known.join(", ")));
                        Err($crate::spec::shape::Wrong::new(format!("`{text}` is not known here")).hint(hint))
                    }
                }
            }
            fn schema() -> serde_json::Value {
                serde_json::json!({ "type": "string", "enum": [$( $word, )*] })
            }
        }
    };
}
pub(in crate::spec) use words;
