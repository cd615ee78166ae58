//! Stubs: what the sidecar answers itself, so that an SDK finishes its own dance with nothing real.

use std::fmt;

/// What is stood in for. The only table of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stub {
    /// The instance metadata service of EC2, version 2, of the keys of an instance's role.
    AwsMetadata,
    /// The credentials of a container: ECS tasks, EKS pods.
    AwsContainer,
    /// The calls of AWS STS by which SDKs become a role.
    AwsSts,
    /// The metadata server of Google Cloud.
    GcpMetadata,
    /// The instance metadata service of Azure, of the tokens of a managed identity.
    AzureMetadata,
    /// Microsoft Entra ID: discovery, and the token endpoint of a tenant.
    AzureLogin,
    /// Any OAuth 2.0 token endpoint.
    OauthToken,
}

impl Stub {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::AwsMetadata,
        Self::AwsContainer,
        Self::AwsSts,
        Self::GcpMetadata,
        Self::AzureMetadata,
        Self::AzureLogin,
        Self::OauthToken,
    ];

    /// As a rule, a record and a metric say it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::AwsMetadata => "aws-metadata",
            Self::AwsContainer => "aws-container",
            Self::AwsSts => "aws-sts",
            Self::GcpMetadata => "gcp-metadata",
            Self::AzureMetadata => "azure-metadata",
            Self::AzureLogin => "azure-login",
            Self::OauthToken => "oauth-token",
        }
    }

    /// Reads that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stub| stub.word() == word)
    }
}

impl fmt::Display for Stub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What stubs hand out in place of a credential: of the vendor's shape, the same in every process,
/// and recognised wherever it would leave. A token of three parts (a JWT) holds one as its last.
pub mod placeholder {
    /// An access key's id of AWS: of a temporary key.
    pub const AWS_KEY: &str = "ASIANEXUSPLACEHOLDER";
    /// The key itself, as the catalogue's provider has it.
    pub const AWS_SECRET: &str = "awsNexusPlaceholder000000000000000000000";
    /// The token beside a temporary key.
    pub const AWS_SESSION: &str = "awsNexusPlaceholderSession00000000000000000000000000000000000000";
    /// The token of a session with the metadata service.
    pub const AWS_METADATA: &str = "awsNexusPlaceholderMetadata0000000000000000000000000==";
    /// An access token of Google's.
    pub const GCP_ACCESS: &str = "ya29.c.gcpNexusPlaceholder0000000000000000000000000000000000000";
    /// The signature of an ID token of Google's.
    pub const GCP_SIGNATURE: &str = "gcpNexusPlaceholderSignature000000000000000";
    /// The signature of a token of Microsoft's.
    pub const AZURE_SIGNATURE: &str = "azureNexusPlaceholderSignature0000000000000";
    /// An access token of anybody's.
    pub const OAUTH_ACCESS: &str = "oauthNexusPlaceholderAccess0000000000000000";
    /// A refresh token of anybody's.
    pub const OAUTH_REFRESH: &str = "oauthNexusPlaceholderRefresh000000000000000";

    /// All of them, with the word of a stub that hands it out.
    pub const ALL: [(&str, &str); 9] = [
        ("aws-metadata", AWS_KEY),
        ("aws-metadata", AWS_SECRET),
        ("aws-metadata", AWS_SESSION),
        ("aws-metadata", AWS_METADATA),
        ("gcp-metadata", GCP_ACCESS),
        ("gcp-metadata", GCP_SIGNATURE),
        ("azure-login", AZURE_SIGNATURE),
        ("oauth-token", OAUTH_ACCESS),
        ("oauth-token", OAUTH_REFRESH),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_read_as_it_is_written() {
        for (number, stub) in Stub::ALL.into_iter().enumerate() {
            assert_eq!(Stub::parse(stub.word()), Some(stub));
            assert_eq!(stub as usize, number);
        }
        assert_eq!(Stub::parse("aws"), None);
        for (word, _) in placeholder::ALL {
            assert!(Stub::parse(word).is_some(), "{word}");
        }
    }
}
