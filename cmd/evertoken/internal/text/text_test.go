package text

import (
	"testing"
	"time"
)

func TestDurationsAreBrief(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second:                  "0s",
		0:                             "0s",
		400 * time.Millisecond:        "0s",
		10 * time.Second:              "10s",
		59*time.Second + 600e6:        "1m00s",
		90 * time.Second:              "1m30s",
		time.Hour:                     "1h00m",
		47*time.Hour + 59*time.Minute: "47h59m",
		48 * time.Hour:                "2 days",
		3650 * 24 * time.Hour:         "3,650 days",
	} {
		if got := Brief(d); got != want {
			t.Errorf("Brief(%v) = %q; want %q", d, got, want)
		}
	}
}

func TestCountsAreReadable(t *testing.T) {
	for n, want := range map[int]string{0: "0 saves", 1: "1 save", 2: "2 saves", 999: "999 saves", 1000: "1,000 saves", 1234567: "1,234,567 saves"} {
		if got := Plural(n, "save"); got != want {
			t.Errorf("Plural(%d) = %q; want %q", n, got, want)
		}
	}
}

func TestTimesTellHowFarTheyAre(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.Local)
	for at, want := range map[time.Time]string{
		now.Add(90 * time.Second): "Wed 2026-03-04 05:07:37 (in 1m30s)",
		now.Add(-2 * time.Second): "Wed 2026-03-04 05:06:05 (2s ago)",
	} {
		if got := When(at, now); got != want {
			t.Errorf("When(%v) = %q; want %q", at, got, want)
		}
	}
}

func TestTheEndOfAToken(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.Local)
	for at, want := range map[time.Time]string{
		{}:                        "no known expiry",
		now.Add(90 * time.Second): "valid until Wed 2026-03-04 05:07:37 (in 1m30s)",
	} {
		if got := Until(at, now); got != want {
			t.Errorf("Until(%v): got %q, want %q", at, got, want)
		}
	}
}
