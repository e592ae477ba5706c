package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/evertoken/evertoken/internal/heldport"
	"github.com/evertoken/evertoken/internal/taint"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

// F14: a request that begins under a lease that was renewed on time ends under it.
func TestF14_TheDefaultLeaseOutlivesATokenRequest(t *testing.T) {
	const request = 30 * time.Second // of a server that is well
	if left := lasts(DefaultLeaseTime) - DefaultLeaseTime/3; left <= request {
		t.Errorf("a lease that is due for renewal lasts %s; a token request may take %s", left, request)
	}
}

func TestHowLongRedisKeepsARecord(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	hour := time.Hour
	for name, tc := range map[string]struct {
		pair *oauth.TokenPair
		want time.Duration
	}{
		"sealed":                      {nil, 0},
		"nobody knows":                {&oauth.TokenPair{AccessToken: "a", RefreshToken: "r", ExpiresAt: at.Add(hour)}, 0},
		"may be good for ever":        {&oauth.TokenPair{AccessToken: "a"}, 0},
		"the refresh token's life":    {&oauth.TokenPair{AccessToken: "a", RefreshToken: "r", ExpiresAt: at, RefreshExpiresAt: at.Add(hour)}, hour + graceTime},
		"no refresh token":            {&oauth.TokenPair{AccessToken: "a", ExpiresAt: at.Add(hour)}, hour + graceTime},
		"has ended":                   {&oauth.TokenPair{AccessToken: "a", ExpiresAt: at.Add(-1000 * hour)}, graceTime},
		"the access token is longer":  {&oauth.TokenPair{AccessToken: "a", RefreshToken: "r", ExpiresAt: at.Add(2 * hour), RefreshExpiresAt: at.Add(hour)}, 2*hour + graceTime},
		"a hundred years":             {&oauth.TokenPair{AccessToken: "a", ExpiresAt: at.Add(farAway)}, farAway + graceTime},
		"longer than Redis can count": {&oauth.TokenPair{AccessToken: "a", ExpiresAt: at.AddDate(5000, 0, 0)}, 0},
	} {
		rec := &tokenstore.Record{Tokens: tc.pair}
		if tc.pair == nil {
			rec.Unknown = map[string]json.RawMessage{"sealed": json.RawMessage("{}")}
		}
		if got := keepFor(rec, at); got != tc.want {
			t.Errorf("%s: %s; want %s", name, got, tc.want)
		}
	}
}

func TestMergeLeavesNoNameOut(t *testing.T) {
	for name, tc := range map[string]struct {
		parts [][]string
		each  int
		want  string
		more  bool
	}{
		"nothing":                     {nil, 2, "", false},
		"all is known":                {[][]string{{"b"}, {"a"}}, 2, "a b", false},
		"a full list may go on":       {[][]string{{"a", "c"}, {"b"}, {"d"}}, 2, "a b c", true},
		"the one that ends first":     {[][]string{{"a", "c"}, {"b", "d"}}, 2, "a b c", true},
		"the other one":               {[][]string{{"x", "z"}, {"b", "d"}, {"c", "y"}}, 2, "b c d", true},
		"a full list is all there is": {[][]string{{"a", "b"}}, 2, "a b", true},
	} {
		names, more := merge(tc.parts, tc.each)
		if got := strings.Join(names, " "); got != tc.want || more != tc.more {
			t.Errorf("%s: %q, %t; want %q, %t", name, got, more, tc.want, tc.more)
		}
	}
}

// An index that is out of order answers with names from before, or the same ones again.
func TestFollowingNeverGoesBack(t *testing.T) {
	for after, want := range map[string]string{"": "a b c", "a": "b c", "aa": "b c", "c": "", "d": ""} {
		for _, part := range []string{"a b c", "c b a", "b c a"} {
			if got := strings.Join(following(strings.Fields(part), after), " "); got != want {
				t.Errorf("of %s after %q: %q; want %q", part, after, got, want)
			}
		}
	}
}

// It pages through random lists the way Pages does, and must find every name once.
func TestPagesMakeTheWhole(t *testing.T) {
	for range 200 {
		parts := make([][]string, 4)
		var all []string
		for i := range rand.N(60) {
			name := fmt.Sprintf("%03d", i)
			b := rand.N(len(parts))
			parts[b] = append(parts[b], name)
			all = append(all, name)
		}
		each := 1 + rand.N(5)
		var got []string
		for after, more := "", true; more; {
			page := make([][]string, len(parts))
			for b, part := range parts {
				i, found := slices.BinarySearch(part, after)
				if found {
					i++
				}
				page[b] = part[i:min(len(part), i+each)]
			}
			var names []string
			if names, more = merge(page, each); len(names) > 0 {
				after = names[len(names)-1]
			}
			got = append(got, names...)
		}
		if !slices.Equal(got, all) {
			t.Fatalf("%d a time: got %q; want %q", each, got, all)
		}
	}
}

// A key that moved to another place would be a session that is lost.
func TestKeysStayWhereTheyAre(t *testing.T) {
	s := &Store{prefix: "p:"}
	for name, want := range map[string]string{
		"default":     "p:{de}:session:default",
		"alice@corp":  "p:{ad}:session:alice@corp",
		"{a}{b}}{":    "p:{04}:session:{a}{b}}{",
		"Zoë/ }{ \n.": "p:{6d}:session:Zoë/ }{ \n.",
	} {
		if got := s.recordKey(name); got != want {
			t.Errorf("%q: %q; want %q", name, got, want)
		}
		for _, key := range append(s.sessionKeys(name), s.lockKey(name)) {
			if tag, ok := hashTag(key); !ok || "p:{"+tag+"}:" != want[:len("p:{00}:")] {
				t.Errorf("key %q has the hash tag %q; want that of %q", key, tag, want)
			}
		}
	}
}

// hashTag returns what a Cluster hashes of a key (Redis Cluster specification).
func hashTag(key string) (string, bool) {
	_, rest, ok := strings.Cut(key, "{")
	tag, _, closed := strings.Cut(rest, "}")
	return tag, ok && closed && tag != ""
}

func TestErrorsSayWhetherRedisCanBeAsked(t *testing.T) {
	const secret = "s3cr3t"
	for reply, unavailable := range map[string]bool{
		"LOADING Redis is loading the dataset in memory " + secret:                    true,
		"READONLY You can't write against a read only replica. " + secret:             true,
		"ERR max number of clients reached":                                           true,
		"NOPERM this user has no permissions " + secret:                               false,
		"ERR unknown command 'evalsha', with args beginning with: '" + secret + "' ":  false,
		"WRONGTYPE Operation against a key holding the wrong kind of value " + secret: false,
		"NOAUTH Authentication required. " + secret:                                   false,
		secret: false,
	} {
		server := answering(t, "-"+reply+"\r\n")
		client := redis.NewClient(&redis.Options{
			Addr: server, MaxRetries: -1, DisableIdentity: true, Protocol: 2,
			DialTimeout: time.Minute, ReadTimeout: time.Minute, WriteTimeout: time.Minute, PoolTimeout: time.Minute,
		})
		defer client.Close()
		s, err := New(client, Config{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Set(t.Context(), "default", &tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: secret}})
		if errors.Is(err, tokenstore.ErrUnavailable) != unavailable || err == nil {
			t.Errorf("%s: %v; want ErrUnavailable: %t", reply, err, unavailable)
		}
		if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, secret) {
			t.Errorf("%s: the error tells a secret: %s", reply, text)
		}
	}
}

// answering starts a server that gives the same answer to everything.
func answering(t *testing.T, answer string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for buf := make([]byte, 1<<16); ; {
					if _, err := c.Read(buf); err != nil {
						return
					}
					_, _ = io.WriteString(c, answer)
				}
			}()
		}
	}()
	return l.Addr().String()
}

func TestNoRedisIsUnavailableAtOnce(t *testing.T) {
	port, err := heldport.Hold("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer port.Release()
	client := redis.NewClient(&redis.Options{Addr: port.Addr, MaxRetries: -1, DialerRetries: 1})
	defer client.Close()
	s, err := New(client, Config{})
	if err != nil {
		t.Fatal(err)
	}
	_, locked := s.Lock(t.Context(), "default")
	_, got := s.Get(t.Context(), "default")
	_, listed := s.Names(t.Context())
	for what, err := range map[string]error{"Lock": locked, "Get": got, "Names": listed} {
		if !errors.Is(err, tokenstore.ErrUnavailable) || errors.Is(err, tokenstore.ErrLocked) || errors.Is(err, tokenstore.ErrNotFound) {
			t.Errorf("%s: %v; want ErrUnavailable and nothing else", what, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Lock(ctx, "default"); !errors.Is(err, tokenstore.ErrLocked) || !errors.Is(err, context.Canceled) {
		t.Errorf("Lock with an ended context: %v", err)
	}
}

// A client that does not look at its context must not keep a caller.
func TestCallReturnsWhenItsContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	hangs := make(chan struct{})
	defer close(hangs)
	_, err := call(ctx, func(context.Context) (int, error) {
		cancel()
		<-hangs
		return 0, nil
	})
	if !errors.Is(err, context.Canceled) || !errors.Is(err, tokenstore.ErrUnavailable) {
		t.Errorf("call: %v; want the context's error, and ErrUnavailable", err)
	}
}

func TestNewRefusesWhatBreaksAPromise(t *testing.T) {
	one := redis.NewClient(&redis.Options{})
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}})
	replicas := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}, ReadOnly: true})
	nearest := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}, RouteByLatency: true})
	random := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}, RouteRandomly: true})
	masters := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}})
	t.Cleanup(func() {
		for _, client := range []io.Closer{one, ring, replicas, nearest, random, masters} {
			_ = client.Close()
		}
	})
	for name, tc := range map[string]struct {
		client redis.UniversalClient
		cfg    Config
		want   string // empty: it is fine
	}{
		"no client":       {nil, Config{}, "no client"},
		"ring":            {ring, Config{}, "Ring"},
		"replicas":        {replicas, Config{}, "replicas"},
		"nearest":         {nearest, Config{}, "replicas"},
		"random":          {random, Config{}, "replicas"},
		"masters":         {masters, Config{}, ""},
		"brace":           {one, Config{Prefix: "a{b"}, "brace"},
		"short lease":     {one, Config{LeaseTime: time.Millisecond}, "LeaseTime"},
		"negative lease":  {one, Config{LeaseTime: -time.Hour}, "LeaseTime"},
		"short but legal": {one, Config{LeaseTime: time.Second}, ""},
		"defaults":        {one, Config{}, ""},
	} {
		s, err := New(tc.client, tc.cfg)
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tc.want != "" && (err == nil || s != nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: %v, %v; want an error about %q", name, s, err, tc.want)
		}
	}
}

func TestAStorePrintsNothingOfItsClient(t *testing.T) {
	client := redis.NewClient(&redis.Options{Password: "s3cret-of-redis"})
	defer client.Close()
	s, _ := New(client, Config{})
	if got := fmt.Sprint(s); got != "redisstore.Store{evertoken:}" {
		t.Errorf("prints %q", got)
	}
	b := new(taint.Book)
	b.Secret("password", "s3cret-of-redis")
	b.Print("store", s)
	b.Check(t, 1, 1)
	b.CheckTypes(t, "../../api/tokenstore_redisstore.txt", map[string]string{"redisstore.Config": "names and limits"})
}

// Whatever somebody else has put there, it is a record or an error, and no error
// quotes it.
func FuzzDecode(f *testing.F) {
	f.Add("1", `{"format":1,"tokens":{"access_token":"a"}}`)
	f.Add("9007199254740992", `{"format":1}`)
	f.Add("", "")
	f.Add("-1", `{"format":99}`)
	f.Fuzz(func(t *testing.T, version, text string) {
		rec, err := stored{version: version, record: text}.decode()
		switch {
		case (rec == nil) == (err == nil):
			t.Fatalf("record %v and error %v", rec, err)
		case err != nil && len(text) > 12 && strings.Contains(err.Error(), text):
			t.Errorf("the error quotes what was read: %v", err)
		case err == nil && (rec.Version == 0 || rec.Version >= 1<<53):
			t.Errorf("version %d", rec.Version)
		case err == nil && strconv.FormatUint(rec.Version, 10) != strings.TrimLeft(version, "0"):
			t.Errorf("version %q was read as %d", version, rec.Version)
		}
	})
}
