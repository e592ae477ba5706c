package bridge

import (
	"encoding/json"
	"strconv"
	"strings"
)

// sameID returns what all spellings of an ID have in common: a server that reads messages and
// writes them anew may escape other characters than the program does, or write 1 as 1.0.
func sameID(id json.RawMessage) string {
	var text string
	var number json.Number
	switch {
	case len(id) == 0:
		return ""
	case id[0] == '"' && json.Unmarshal(id, &text) == nil:
		return `"` + text
	case json.Unmarshal(id, &number) == nil && number != "":
		return sameNumber(number.String())
	}
	return string(id)
}

// sameNumber returns a number as its digits, without zeros at either end, and a power of ten.
// It does not compute it: an ID may have more digits than a float64, or an exponent of millions.
func sameNumber(number string) string {
	sign := ""
	if rest, negative := strings.CutPrefix(number, "-"); negative {
		sign, number = "-", rest
	}
	digits, exponent, scientific := strings.Cut(strings.ToLower(number), "e")
	power := 0
	if scientific {
		var err error
		if power, err = strconv.Atoi(exponent); err != nil || power > 1<<30 || power < -1<<30 {
			return sign + number
		}
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	digits = strings.TrimLeft(whole+fraction, "0")
	short := strings.TrimRight(digits, "0")
	if short == "" {
		return "0"
	}
	return sign + short + "e" + strconv.Itoa(power-len(fraction)+len(digits)-len(short))
}
