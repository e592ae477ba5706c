package server

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// grpcCodes are the codes that Kratos sends for HTTP statuses. All others are
// codes.Unknown.
var grpcCodes = map[int]codes.Code{
	http.StatusBadRequest:          codes.InvalidArgument,
	http.StatusUnauthorized:        codes.Unauthenticated,
	http.StatusForbidden:           codes.PermissionDenied,
	http.StatusNotFound:            codes.NotFound,
	http.StatusConflict:            codes.Aborted,
	http.StatusTooManyRequests:     codes.ResourceExhausted,
	http.StatusInternalServerError: codes.Internal,
	http.StatusNotImplemented:      codes.Unimplemented,
	http.StatusServiceUnavailable:  codes.Unavailable,
	http.StatusGatewayTimeout:      codes.DeadlineExceeded,
}

// refusal returns an HTTP error as Kratos says it by gRPC: the reason in an
// ErrorInfo, which has no domain. Retry-After becomes a RetryInfo.
func refusal(resp *http.Response, body []byte) error {
	code, found := grpcCodes[resp.StatusCode]
	if !found {
		code = codes.Unknown
	}
	var doc struct {
		Error struct{ Reason, Message string }
	}
	_ = json.Unmarshal(body, &doc) // a body that is not JSON has no reason
	var details []protoadapt.MessageV1
	if doc.Error.Reason != "" {
		details = append(details, &errdetails.ErrorInfo{Reason: doc.Error.Reason})
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Duration(seconds) * time.Second)})
	}
	st := status.New(code, doc.Error.Message)
	if detailed, err := st.WithDetails(details...); err == nil {
		st = detailed
	}
	return st.Err()
}
