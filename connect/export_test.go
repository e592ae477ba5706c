package connect

// ClientRecord is the name of the record with the client at issuer.
func ClientRecord(issuer string) string { return clientRecord(issuer) }

// LoginRecord is the name of the record with the login of a session that is under way.
func LoginRecord(session string) string { return loginRecord(session) }

// PlaceRecord is the name of the record with the place of the session with an API.
func PlaceRecord(address, account string) string { return placeRecord(address, account) }
