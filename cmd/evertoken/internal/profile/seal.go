package profile

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Fingerprint tells this profile from one that was edited. It is saved with the tokens,
// sealed where they are, since the profile's file is plain and says where tokens are sent.
// Only a login changes what it is of.
func (p *Profile) Fingerprint() string {
	settings := *p
	settings.Format, settings.KeepOld = 0, false // they send no token anywhere
	settings.Store = settings.Kind()
	data, err := json.Marshal(settings)
	if err != nil {
		return "" // cannot be: it is written as JSON
	}
	// As they are read back: what is written in two ways, as dialects may be, counts once.
	var read Profile
	if json.Unmarshal(data, &read) == nil {
		data, _ = json.Marshal(read)
	}
	sum := sha256.Sum256(append([]byte("evertoken: profile\n"), data...))
	return hex.EncodeToString(sum[:16])
}
