package kratos

import (
	"testing"
	"testing/synctest"

	"github.com/evertoken/evertoken/internal/recorded"
)

// The twin in oauthtest is held to the same records.
func TestKratosAnswersAsRecorded(t *testing.T) {
	for name, o := range map[string]Options{
		"go-kratos":               {},
		"go-kratos-proto-names":   {ProtoNames: true, NestedErrors: true},
		"go-kratos-refresh-error": {RefreshError: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := New(o)
				player := recorded.Player{
					Send: inProcess{b.HTTP()}.RoundTrip,
					Do: map[string]func(){
						"refresh token expired": func() {
							b.Edit(func(b *Backend) {
								for token := range b.live {
									b.Expire(token)
								}
							})
						},
						"user gone": func() { b.Edit((*Backend).RemoveUser) },
					},
				}
				player.Play(t, name)
			})
		})
	}
}
