use super::StoreError;

/// One value of a row, or for a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authority) enum Value {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(value.to_owned())
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A row that a statement answered. Its columns are asked for by their place, as what they are;
/// another kind of value is damage, since only we write the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authority) struct Row(Vec<Value>);

impl Row {
    pub(in crate::authority) fn new(values: Vec<Value>) -> Self {
        Self(values)
    }

    /// All columns, for a copy of the store.
    pub(in crate::authority) fn values(&self) -> &[Value] {
        &self.0
    }

    pub(in crate::authority) fn int(&self, column: usize) -> Result<i64, StoreError> {
        match self.0.get(column) {
            Some(Value::Int(value)) => Ok(*value),
            other => Err(unexpected(column, "a number", other)),
        }
    }

    pub(in crate::authority) fn flag(&self, column: usize) -> Result<bool, StoreError> {
        self.int(column).map(|value| value != 0)
    }

    pub(in crate::authority) fn text(&self, column: usize) -> Result<&str, StoreError> {
        match self.0.get(column) {
            Some(Value::Text(value)) => Ok(value),
            other => Err(unexpected(column, "a text", other)),
        }
    }

    pub(in crate::authority) fn bytes(&self, column: usize) -> Result<&[u8], StoreError> {
        match self.0.get(column) {
            Some(Value::Bytes(value)) => Ok(value),
            other => Err(unexpected(column, "bytes", other)),
        }
    }

    pub(in crate::authority) fn int_or_null(&self, column: usize) -> Result<Option<i64>, StoreError> {
        if self.is_null(column) { Ok(None) } else { self.int(column).map(Some) }
    }

    pub(in crate::authority) fn text_or_null(&self, column: usize) -> Result<Option<&str>, StoreError> {
        if self.is_null(column) { Ok(None) } else { self.text(column).map(Some) }
    }

    pub(in crate::authority) fn is_null(&self, column: usize) -> bool {
        matches!(self.0.get(column), Some(Value::Null))
    }
}

fn unexpected(column: usize, wanted: &'static str, found: Option<&Value>) -> StoreError {
    let found = match found {
        None => "nothing",
        Some(Value::Null) => "null",
        Some(Value::Int(_)) => "a number",
        Some(Value::Text(_)) => "a text",
        Some(Value::Bytes(_)) => "bytes",
    };
    StoreError::Column { column, wanted, found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_what_it_is_asked_for_as_or_damage() {
        let row = Row::new(vec![7.into(), "a".into(), vec![1_u8].into(), Value::Null, true.into()]);
        assert_eq!((row.int(0).unwrap(), row.text(1).unwrap(), row.bytes(2).unwrap()), (7, "a", &[1_u8][..]));
        assert_eq!(
            (row.int_or_null(3).unwrap(), row.text_or_null(3).unwrap(), row.flag(4).unwrap()),
            (None, None, true)
        );
        for wrong in [row.int(1).unwrap_err(), row.int(9).unwrap_err(), row.int(3).unwrap_err()] {
            assert!(wrong.to_string().contains("a number"), "{wrong}");
        }
        assert!(row.text_or_null(0).is_err() && row.int_or_null(2).is_err());
    }
}
