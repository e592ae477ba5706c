package keyring

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
)

// maxItem is how many bytes of a value go into one item. The command line of
// security(1), through which go-keyring saves it, ends after 4096 bytes; with
// base64 and the longest names, 2,900 are left. This is what Windows allows.
const maxItem = 2560

// probe cannot tell: even asking for a keychain's state may show a window.
func probe(context.Context) (state, error) { return unknown, nil }

func personHere() bool { return os.Getenv("SSH_CONNECTION") == "" && os.Getenv("SSH_TTY") == "" }

// needsPerson reads the exit status of security(1): the lowest byte of errSecInteractionNotAllowed
// (-25308), errSecAuthFailed (-25293) and errSecUserCanceled (-128).
func needsPerson(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && slices.Contains([]int{36, 51, 128}, exit.ExitCode())
}
