package oauth

import (
	"github.com/evertoken/evertoken/oauth/internal/login"
	"github.com/evertoken/evertoken/oauth/internal/metadata"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// Operations, as errors name them.
const (
	opAuthorize         = login.Op
	opClientCredentials = "client_credentials"
	opDevice            = wire.OpDevice
	opDiscover          = metadata.OpDiscover
	opDiscoverResource  = "discover_resource"
	opEndSession        = "end_session"
	opExchange          = "exchange"
	opIntrospect        = "introspect"
	opPassword          = "password"
	opPush              = "push"
	opRefresh           = wire.OpRefresh
	opRevoke            = "revoke"
	opTokenExchange     = "token_exchange"
	opUserinfo          = "userinfo"
)
