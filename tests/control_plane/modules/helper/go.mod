module control-plane/helper

go 1.24.0
