// Package authpb is the code that protoc makes of auth.proto, by the versions of
// its plugins in go.mod. Protoc itself comes from the system, such as Debian's
// package protobuf-compiler.
package authpb

//go:generate sh -c "protoc --plugin=protoc-gen-go=$(go tool -n protoc-gen-go) --plugin=protoc-gen-go-grpc=$(go tool -n protoc-gen-go-grpc) --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative auth.proto"
