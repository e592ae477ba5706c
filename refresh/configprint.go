package refresh

import (
	"fmt"
	"io"
	"log/slog"
)

// String names the session and the types of what renews and keeps it. What a Refresher, a
// Store or a Witness of the program's holds is not shown: fmt would follow pointers to it for
// a verb that does not fit.
func (cfg Config) String() string {
	return fmt.Sprintf("refresh.Config{session:%q client:%T store:%T origins:%q}", cfg.Session, cfg.OAuthClient, cfg.Store, cfg.AllowedOrigins)
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (cfg Config) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, cfg.String()) }

// LogValue implements slog.LogValuer.
func (cfg Config) LogValue() slog.Value { return slog.StringValue(cfg.String()) }

// String describes what the pool's sessions have in common, as Config does.
func (cfg PoolConfig) String() string {
	return fmt.Sprintf("refresh.PoolConfig{%s limits:%+v workers:%d}", cfg.Config.String(), cfg.Limits, cfg.Workers)
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (cfg PoolConfig) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, cfg.String()) }

// LogValue implements slog.LogValuer.
func (cfg PoolConfig) LogValue() slog.Value { return slog.StringValue(cfg.String()) }
