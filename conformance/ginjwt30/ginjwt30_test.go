package ginjwt30

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	jwt "github.com/appleboy/gin-jwt/v3"
	"github.com/appleboy/gin-jwt/v3/core"
	"github.com/gin-gonic/gin"

	"github.com/evertoken/evertoken/internal/authserver/refreshtokens"
	"github.com/evertoken/evertoken/oauth/dialect"
	"github.com/evertoken/evertoken/tokenstore/refreshtoken"
	"github.com/evertoken/evertoken/tokenstore/refreshtoken/database"
	"github.com/evertoken/evertoken/tokenstore/refreshtoken/ginjwt"
)

var (
	_ core.TokenStore = (*ginjwt.Contextless)(nil)
	_ ginjwt.Store    = (*refreshtoken.Store)(nil)
	_ ginjwt.Store    = (*database.Store)(nil)
)

type inProcess struct{ handler http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	return w.Result(), nil
}

func TestGinJWT30WorksOnOurStores(t *testing.T) {
	memory := &refreshtokens.Memory{NotFound: core.ErrRefreshTokenNotFound}
	mw, err := jwt.New(&jwt.GinJWTMiddleware{
		Realm: "conformance", Key: []byte("no secret: a server for tests"), Timeout: time.Hour,
		RefreshTokenStore: ginjwt.WithoutContext(memory, 0),
		Authenticator:     func(*gin.Context) (any, error) { return "alice", nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.POST("/login", mw.LoginHandler)
	r.POST("/refresh", mw.RefreshHandler)
	d := dialect.GinJWT()
	d.Refresh.Encoding = dialect.EncodeForm
	c := dialect.NewClient(d, dialect.Config{BaseURL: "https://gin.example", HTTPClient: &http.Client{Transport: inProcess{r}}})
	first, err := c.Login(t.Context(), "alice", "x")
	if err != nil {
		t.Fatal(err)
	}
	next, err := c.Refresh(t.Context(), first)
	if err != nil || next.RefreshToken == first.RefreshToken {
		t.Fatalf("refresh: %v, %v", next, err)
	}
	if _, err := c.Refresh(t.Context(), first); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("a spent token: %v", err)
	}
	if n, err := memory.Count(context.Background()); n != 1 || errors.Is(err, core.ErrRefreshTokenNotFound) {
		t.Errorf("%d tokens, %v; want the newest", n, err)
	}
}
