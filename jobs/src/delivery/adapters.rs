//! The adapters of this daemon: one for each platform, made anew when the platform's row changes.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
};

use platform_adapters::{
    Adapter, Fault,
    settings::{Platform, PlatformRow},
};

/// Makes the adapter of a platform.
pub type AdapterFactory = Arc<dyn Fn(Platform) -> Result<Arc<dyn Adapter>, Fault> + Send + Sync>;

/// The adapters in use, by platform.
pub struct Adapters {
    make: AdapterFactory,
    made: Mutex<HashMap<i32, Made>>,
}

/// A platform that can be spoken to.
pub(crate) struct Known {
    pub(crate) platform: Arc<Platform>,
    pub(crate) adapter: Arc<dyn Adapter>,
    /// Its settings were not known to this daemon in this form.
    pub(crate) is_new: bool,
}

#[derive(Clone)]
struct Made {
    row: u64,
    platform: Arc<Platform>,
    adapter: Arc<dyn Adapter>,
}

impl Adapters {
    /// Adapters that `make` makes when they are first needed.
    #[must_use]
    pub fn new(make: AdapterFactory) -> Self {
        Self {
            make,
            made: Mutex::default(),
        }
    }

    /// The platform's adapter. It is new when the row has changed since it was last asked for.
    ///
    /// # Errors
    /// [`platform_adapters::Code::SettingsInvalid`] when the row cannot be used.
    pub(crate) fn get(&self, row: &PlatformRow) -> Result<Known, Fault> {
        let digest = digest(row);
        let known = self
            .lock()
            .get(&row.id)
            .filter(|made| made.row == digest)
            .cloned();
        let is_new = known.is_none();
        let made = match known {
            Some(made) => made,
            None => {
                let platform = Platform::from_row(row)?;
                let adapter = (self.make)(platform.clone())?;
                let made = Made {
                    row: digest,
                    platform: Arc::new(platform),
                    adapter,
                };
                self.lock().insert(row.id, made.clone());
                made
            }
        };
        Ok(Known {
            platform: made.platform,
            adapter: made.adapter,
            is_new,
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i32, Made>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Changes whenever anything the worker reads of the row changes.
fn digest(row: &PlatformRow) -> u64 {
    let mut hasher = DefaultHasher::new();
    (
        &row.name,
        &row.api_endpoint,
        &row.delivery_method,
        &row.processing_time,
    )
        .hash(&mut hasher);
    (&row.supported_content, &row.territory_restrictions).hash(&mut hasher);
    for json in [
        row.api_credentials.as_ref().map(|secretive| &secretive.0),
        row.requirements.as_ref(),
        row.format_specs.as_ref(),
    ] {
        json.map(ToString::to_string).hash(&mut hasher);
    }
    hasher.finish()
}
