// Package authpb is the code that protoc makes of ../proto, by the versions of
// its plugins in go.mod. Protoc itself comes from the system, such as Debian's
// package protobuf-compiler. The file is known by its path there, which no program of
// its own has: two files of one path cannot be in one program.
package authpb

//go:generate sh -c "protoc --plugin=protoc-gen-go=$(go tool -n protoc-gen-go) --plugin=protoc-gen-go-grpc=$(go tool -n protoc-gen-go-grpc) -I ../proto --go_out=. --go_opt=module=github.com/evertoken/evertoken/examples/grpc/authpb --go-grpc_out=. --go-grpc_opt=module=github.com/evertoken/evertoken/examples/grpc/authpb evertoken/examples/auth/v1/auth.proto"
