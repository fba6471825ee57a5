"""To and from NIR as other tools write and read it: conversion, and a test that spikes agree."""
