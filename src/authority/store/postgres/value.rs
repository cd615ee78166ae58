//! Values as PostgreSQL has them.

use std::error::Error;

use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use super::super::{Row, Value};

type Wrong = Box<dyn Error + Sync + Send>;

impl ToSql for Value {
    fn to_sql(&self, wanted: &Type, out: &mut BytesMut) -> Result<IsNull, Wrong> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(value) => match *wanted {
                Type::INT8 => value.to_sql(wanted, out),
                Type::INT4 => i32::try_from(*value)?.to_sql(wanted, out),
                _ => Err(format!("a number where {wanted} is wanted").into()),
            },
            // A text that PostgreSQL could not keep is refused before it spoils the transaction.
            Self::Text(value) if value.contains('\0') => Err("a text with NUL in it".into()),
            Self::Text(value) if <&str as ToSql>::accepts(wanted) => value.as_str().to_sql(wanted, out),
            Self::Bytes(value) if *wanted == Type::BYTEA => value.as_slice().to_sql(wanted, out),
            Self::Text(_) => Err(format!("a text where {wanted} is wanted").into()),
            Self::Bytes(_) => Err(format!("bytes where {wanted} is wanted").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(found: &Type, raw: &'a [u8]) -> Result<Self, Wrong> {
        Ok(match *found {
            Type::INT8 => Self::Int(i64::from_sql(found, raw)?),
            // What a statement itself says, such as `SELECT 1`.
            Type::INT4 => Self::Int(i32::from_sql(found, raw)?.into()),
            Type::BOOL => Self::Int(bool::from_sql(found, raw)?.into()),
            Type::BYTEA => Self::Bytes(raw.to_vec()),
            Type::TEXT | Type::VARCHAR | Type::NAME => Self::Text(String::from_sql(found, raw)?),
            _ => return Err(format!("a column of the type {found}, which the store does not have").into()),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Wrong> {
        Ok(Self::Null)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A row as the store's callers see it.
pub(super) fn row(found: &tokio_postgres::Row) -> Result<Row, tokio_postgres::Error> {
    (0..found.len()).map(|column| found.try_get(column)).collect::<Result<_, _>>().map(Row::new)
}
