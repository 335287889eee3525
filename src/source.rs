/*!
What a request has to ask of other processes before it can be judged.
*/

use crate::patience::Patience;
use crate::statistics::Page;
use crate::url::Url;

/// Something that is asked over the network.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    StatisticsPage(Url),
}

/// What a source said, or in a sentence why it said nothing.
#[derive(Debug)]
pub enum Evidence {
    Statistics(Result<Page, String>),
}

impl Source {
    /// Asks, as long as `patience` lasts.
    pub fn ask(&self, patience: &Patience) -> Evidence {
        match self {
            Self::StatisticsPage(url) => Evidence::Statistics(Page::fetch(url, patience)),
        }
    }
}
